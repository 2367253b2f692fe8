"""Mumble's server and two of its clients, to compare with: without a hand that clicks, so all that
a wizard or a dialogue would ask is answered beforehand."""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
import sqlite3
import ssl
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cards import LISTENER, TALKER, Cards
from systems import Running, System, end

_START_LIMIT_S = 20.0

# Sends always; no dialogue, no sound and no speech of its own.
_CLIENT = """\
[General]
lastupdate=2
databaselocation={database}

[audio]
input=PulseAudio
output=PulseAudio
transmit=0
{audio}
[consent]
pingserversdialogviewed=true

[net]
{net}
[overlay]
enable=false

[pulseaudio]
input=mic_{person}
output=speaker_{person}

[tts]
enable=false

[ui]
askonquit=false
disablepubliclist=true
plugincheck=false
updatecheck=false
usage=false
"""


@dataclass(frozen=True)
class Mumble:
    """Mumble, with settings of its own in two sections of the client's file."""

    name: str
    audio: tuple[str, ...] = ()
    net: tuple[str, ...] = ()
    warm_up_s: float = 8.0

    def start(self, cards: Cards, folder: Path) -> Running:
        port = _free_port()
        (folder / "server.ini").write_text(
            f"database={folder}/server.sqlite\nport={port}\nhost=127.0.0.1\nbonjour=false\n"
            "bandwidth=130000\nusers=4\nlogfile=\n"
            # It must stay who it is, to write into this folder.
            f"uname={getpass.getuser()}\n")  # fmt: skip
        with open(folder / "murmurd.log", "wb") as log:
            server = subprocess.Popen(
                ["murmurd", "-fg", "-ini", str(folder / "server.ini")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # fmt: skip
        try:
            digest = _certificate_digest(port)
            screen, display = _screen()
        except OSError:
            end([server])
            raise
        clients = {}
        for person in (LISTENER, TALKER):
            clients[person] = self._client(cards, folder, person, port, digest, display)
        return Running(clients[TALKER], clients[LISTENER], [server, screen])

    def _client(self, cards: Cards, folder: Path, person: str, port: int, digest: str,
                display: str) -> subprocess.Popen[bytes]:  # fmt: skip
        home = folder / f"home_{person}"
        (home / ".config" / "Mumble").mkdir(parents=True)
        database = home / "mumble.sqlite"
        _trust(database, port, digest)
        _identify(home, person)
        text = _CLIENT.format(person=person, database=database,
                              audio="".join(f"{line}\n" for line in self.audio),
                              net="".join(f"{line}\n" for line in self.net))  # fmt: skip
        (home / ".config" / "Mumble" / "Mumble.conf").write_text(text)
        environment = _without_session(cards.of(person)) | {
            "HOME": str(home), "DISPLAY": display, "QT_QPA_PLATFORM": "xcb",
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_DATA_HOME": str(home / ".local" / "share"),
        }  # fmt: skip
        with open(folder / f"{person}.log", "wb") as log:
            return subprocess.Popen(
                ["mumble", "-m", f"mumble://{person}@127.0.0.1:{port}/?version=1.2.0"],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # fmt: skip


SYSTEMS: tuple[System, ...] = (
    Mumble("Mumble, default settings"),
    Mumble("Mumble, lowest settings", ("outputdelay=1",), ("framesperpacket=1", "jitterbuffer=1")),
)


def _without_session(environment: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in environment.items()
            if key not in ("DBUS_SESSION_BUS_ADDRESS", "WAYLAND_DISPLAY")}  # fmt: skip


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _screen() -> tuple[subprocess.Popen[bytes], str]:
    """A screen that nobody sees, and its name."""
    reader, writer = os.pipe()
    screen = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1024x768x24", "-nolisten", "tcp"],
        pass_fds=[writer], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)  # fmt: skip
    os.close(writer)
    with os.fdopen(reader) as said:
        number = said.readline().strip()
    if not number:
        raise RuntimeError("Xvfb does not start")
    return screen, f":{number}"


def _certificate_digest(port: int) -> str:
    """The digest of the server's certificate, by which a client knows it."""
    until = time.monotonic() + _START_LIMIT_S
    while True:
        try:
            pem = ssl.get_server_certificate(("127.0.0.1", port))
            return hashlib.sha1(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def _trust(database: Path, port: int, digest: str) -> None:
    """Writes into a client's database that it knows the server."""
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE `cert` (`id` INTEGER PRIMARY KEY AUTOINCREMENT,"
                           " `hostname` TEXT, `port` INTEGER, `digest` TEXT)")  # fmt: skip
        connection.execute("INSERT INTO `cert` (`hostname`, `port`, `digest`) VALUES (?, ?, ?)",
                           ("127.0.0.1", port, digest))  # fmt: skip
    connection.close()


def _identify(home: Path, person: str) -> None:
    """Gives a client the certificate that it would ask for, where it looks for a backup."""
    documents = home / "Documents"
    documents.mkdir()
    key, certificate = home / "key.pem", home / "certificate.pem"
    backup = documents / "MumbleAutomaticCertificateBackup.p12"
    for command in (
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj",
         f"/CN={person}", "-keyout", str(key), "-out", str(certificate)],
        ["pkcs12", "-export", "-inkey", str(key), "-in", str(certificate), "-passout", "pass:",
         "-out", str(backup)],
    ):  # fmt: skip
        subprocess.run(["openssl", *command], check=True, capture_output=True)
