"""Scripts: words that say what a client does, one after the other."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Callable, Sequence

from events import ClientError
from participant import Client
from sound import read_wav, tone, write_wav

TALKING, MUTED = 1, 2

WORDS = """\
connect                opens the stream and says nothing
join                   opens the stream if there is none, says Hello, waits for the answer
say FILE               sends a WAV file, a frame each frame period, and waits until it is sent
tone HZ MS [PEAK]      the same with a sine
start say FILE         as say, but goes on with the script at once (also: start tone HZ MS [PEAK])
mute, unmute           ends the talkspurt and sends SetMuted
ping                   sends a Ping and waits for its Pong
roster                 sends a RosterRequest and waits for the whole roster
wait SECONDS           listens
until WHAT [SECONDS]   listens until it is so, for 10 s at most; WHAT is one of:
                         participants N, present NAME, gone NAME, talking NAME, silent NAME,
                         muted NAME, heard N (talkspurts in all), event NAME (from now on),
                         ended (the session or the attempt)
resume                 takes the session up with its token on a new stream; the old one stays open
                       until the server closes it
resume-here            says Hello with the token and a new nonce on the same stream
rejoin                 says Hello with a new nonce and without a token on the same stream
repeat                 sends the session's Hello again
drop                   closes the stream without a Bye, and keeps the token for join or resume
leave                  Bye 0, and closes the stream
save FILE              writes what was heard so far to a WAV file
raw HEX                sends these bytes as a packet
noise HEX              sends these bytes as they are
"""


class Script:
    """Does what words say. `run` returns when the words of a line are done."""

    def __init__(self, client: Client, deadline: float, also: Sequence[int] = ()) -> None:
        self.client, self.deadline, self.also = client, deadline, also
        self.input = bytearray()
        self.ended = False

    def poll(self, timeout: float = 0.05) -> None:
        if self.client.clock() > self.deadline:
            raise ClientError("the time for the whole script is over")
        for source in self.client.poll(timeout, self.also):
            data = os.read(source, 4096)
            self.input += data
            if len(self.input) > 1 << 16:
                raise ClientError("more than 65,536 bytes of script wait")
            if not data:
                self.ended, self.also = True, ()

    def wait(self, so: Callable[[], bool], seconds: float, what: str) -> None:
        until = self.client.clock() + seconds
        while not so():
            if self.client.clock() >= until:
                raise ClientError(f"{what}: not so after {seconds:g} s")
            self.poll()

    def run(self, line: str) -> None:
        for action in parsed(line):
            self.do(*action)
            self.client.emit("done", action=" ".join(action))

    def do(self, word: str, *rest: str) -> None:
        method = getattr(self, "do_" + word.replace("-", "_"), None)
        if not method:
            raise ClientError(f"{word!r} is no word of a script; --words lists them")
        try:
            return method(*rest)
        except TypeError as error:
            if "positional argument" not in str(error):
                raise
            raise ClientError(f"{word}: wrong number of words behind it") from error

    def _until_joined(self) -> None:
        client, seconds = self.client, self.deadline - self.client.clock()
        self.wait(lambda: client.state == "joined" or client.failure, seconds, "joining")
        if client.failure:
            raise ClientError(f"not joined: {client.failure}")

    def do_connect(self) -> None:
        self.client.connect()

    def do_join(self) -> None:
        self.client.join()
        self._until_joined()

    def do_resume(self) -> None:
        self.client.resume()
        self._until_joined()

    def do_resume_here(self) -> None:
        self.client.again(with_token=True)
        self._until_joined()

    def do_rejoin(self) -> None:
        self.client.again(with_token=False)
        self._until_joined()

    def do_repeat(self) -> None:
        self.client.repeat()

    def do_drop(self) -> None:
        self.client.drop()

    def do_leave(self) -> None:
        self.client.leave()

    def do_say(self, path: str) -> None:
        self.do_start("say", path)
        self._until_said()

    def do_tone(self, hertz: str, milliseconds: str, peak: str = "10000") -> None:
        self.do_start("tone", hertz, milliseconds, peak)
        self._until_said()

    def do_start(self, word: str, *rest: str) -> None:
        self.client._need_session()
        rate = self.client.session.welcome["rate"]
        if word == "say" and len(rest) == 1:
            samples = read_wav(rest[0], rate)
        elif word == "tone" and len(rest) in (2, 3):
            hertz, milliseconds = number(rest[0], 0, rate), int(number(rest[1], 0, 600000))
            peak = number(rest[2] if len(rest) > 2 else "10000", 0, 32767)
            samples = tone(hertz, milliseconds, peak, rate)
        else:
            raise ClientError("start needs `say FILE` or `tone HZ MS [PEAK]` behind it")
        self.client.say(samples)

    def _until_said(self) -> None:
        client, session = self.client, self.client.sessions
        while client.is_saying():
            self.poll()
        if client.state != "joined" or client.sessions != session:
            raise ClientError("the session ended while something was said")

    def do_mute(self) -> None:
        self.client.set_muted(True)

    def do_unmute(self) -> None:
        self.client.set_muted(False)

    def do_ping(self) -> None:
        before = self.client.pongs
        sent = self.client.ping()
        gone = lambda: sent not in self.client.pings and self.client.pongs > before  # noqa: E731
        self.wait(gone, 5, "a Pong")

    def do_roster(self) -> None:
        self.client.ask_for_roster()
        self.wait(lambda: self.client.roster.complete, 10, "a roster")

    def do_wait(self, seconds: str) -> None:
        until = self.client.clock() + number(seconds, 0, 86400)
        while self.client.clock() < until:
            self.poll(min(0.05, until - self.client.clock()))

    def do_until(self, what: str, *rest: str) -> None:
        client = self.client
        takes = 0 if what == "ended" else 1
        if len(rest) not in (takes, takes + 1):
            raise ClientError(f"until {what}: wrong number of words behind it")
        seconds = number(rest[takes] if len(rest) > takes else "10", 0, 86400)
        arg = rest[0] if takes else ""

        def flag(bit: int, value: bool) -> bool:
            one = client.roster.named(arg) if client.roster else None
            return bool(one) and bool(one["flags"] & bit) == value

        def named() -> None:
            return bool(client.roster and client.roster.complete and client.roster.named(arg))

        if what in ("participants", "heard"):
            count = number(arg, 0, 1 << 32)
        if what == "event":
            seen, before = self.client._emit.counts, dict(self.client._emit.counts)
        endings = client.endings
        conditions = {
            "participants": lambda: client.participants == count,
            "heard": lambda: client.heard >= count,
            "present": named,
            "gone": lambda: bool(client.roster and client.roster.complete and not named()),
            "talking": lambda: flag(TALKING, True),
            "silent": lambda: flag(TALKING, False),
            "muted": lambda: flag(MUTED, True),
            "event": lambda: seen.get(arg, 0) > before.get(arg, 0),
            "ended": lambda: client.endings > endings or client.state == "closed",
        }
        if what not in conditions:
            raise ClientError(f"until {what!r} is not known; --words lists what is")
        self.wait(conditions[what], seconds, " ".join(("until", what, arg)).strip())

    def do_save(self, path: str) -> None:
        self.save(path)

    def save(self, path: str) -> None:
        recording = self.client.recording
        write_wav(path, bytes(recording.data), recording.rate or self.client.options.rates[0])

    def do_raw(self, *digits: str) -> None:
        self.client._send_packet(hexadecimal(digits))

    def do_noise(self, *digits: str) -> None:
        if not self.client.stream:
            raise ClientError("there is no stream")
        self.client.stream.send_raw(hexadecimal(digits))


def parsed(line: str) -> list[list[str]]:
    """Actions, each a list of words: `join; say "my file.wav"`. A # begins a comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";")
    lexer.whitespace_split = True
    actions = [[]]
    try:
        for word in lexer:
            if set(word) == {";"}:
                actions.append([])
            else:
                actions[-1].append(word)
    except ValueError as error:
        raise ClientError(f"the script cannot be read: {error}") from error
    return [action for action in actions if action]


def number(text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise ClientError(f"{text!r} is no number from {least} to {most}")
    return value


def hexadecimal(digits: Sequence[str]) -> bytes:
    try:
        return bytes.fromhex("".join(digits))
    except ValueError as error:
        raise ClientError(f"no hexadecimal digits: {' '.join(digits)}") from error
