"""Where the delay lies."""

import json
import unittest

import stages


def joined(frame_ms):
    return json.dumps({"event": "joined", "t_ms": 1, "frame_ms": frame_ms})


def level(delay_ms=None, **parts):
    return json.dumps({"event": "level", "t_ms": 5, "delay_ms": delay_ms, "delay_parts": parts})


TALKER = (joined(20), level(microphone_ms=8.0, pre_roll_ms=1.0, one_way_ms=2.0),
          level(microphone_ms=10.0, pre_roll_ms=3.0, one_way_ms=2.0))  # fmt: skip
LISTENER = (joined(20), level(), level(60, one_way_ms=4.0, jitter_buffer_ms=3.0, speaker_ms=9.0))


class Stages(unittest.TestCase):
    def test_the_server_has_what_the_clients_have_not(self):
        found = stages.stages("\n".join(TALKER), "\n".join(LISTENER))
        self.assertEqual(list(found), list(stages.STAGES))
        self.assertEqual(list(found.values()), [9.0, 20.0, 2.0, 2.0, 11.0, 4.0, 3.0, 9.0])
        self.assertEqual(sum(found.values()), 60.0)

    def test_without_all_of_them_there_are_none(self):
        self.assertEqual(stages.stages("\n".join(TALKER), "\n".join(LISTENER[:2])), {})
        self.assertEqual(stages.stages("\n".join(TALKER[1:]), "\n".join(LISTENER)), {})
        self.assertEqual(stages.stages("", "panic!"), {})


if __name__ == "__main__":
    unittest.main()
