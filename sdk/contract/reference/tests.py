"""Checks the reference against values that others published, and its own invariants.

Run: python3 -m unittest discover -s sdk/contract/reference -t sdk/contract -p tests.py
"""

import json
import pathlib
import subprocess
import sys
import unittest

from . import backoff, bucket, config, eviction, generate, random64, reply, retry_after
from . import sampling, serialise, split

NOW = 1767225600000


class Published(unittest.TestCase):
    """Values from elsewhere."""

    def test_splitmix64(self) -> None:
        chance = random64.SplitMix64(1234567)
        # The sequence that Rosetta Code lists for this seed.
        expected = [6457827717110365317, 3203168211198807973, 9817491932198370423,
                    4593380528125082431, 16408922859458223821]
        self.assertEqual([chance.next_u64() for _ in range(5)], expected)

    def test_murmur3(self) -> None:
        # The same values that the gateway's sampling is tested with.
        for text, seed, expected in [
            ("", 0, 0), ("", 1, 0x514E28B7), ("", 0xFFFFFFFF, 0x81F16F39),
            ("test", 0, 0xBA6BD213), ("test", 0x9747B28C, 0x704B81DC),
            ("Hello, world!", 0, 0xC0363E43), ("Hello, world!", 0x9747B28C, 0x24884CBA),
            ("The quick brown fox jumps over the lazy dog", 0, 0x2E4FF723),
        ]:
            self.assertEqual(sampling.murmur3_32(text.encode(), seed), expected, text)

    def test_numbers_as_ecmascript_writes_them(self) -> None:
        for value, expected in [
            (1.0, "1"), (0.1, "0.1"), (123.456, "123.456"), (1e20, "100000000000000000000"),
            (123456789012345680000.0, "123456789012345680000"), (1e21, "1e+21"), (1.5e300, "1.5e+300"),
            (1e-6, "0.000001"), (1.5e-7, "1.5e-7"), (5e-324, "5e-324"), (-2.5, "-2.5"), (-0.0, "0"),
            (1 / 3, "0.3333333333333333"), (4.35, "4.35"), (100.0, "100"), (1e16, "10000000000000000"),
        ]:
            self.assertEqual(serialise.number(value), expected)
            self.assertEqual(float(serialise.number(value)), value)

    def test_dates_of_the_rfc(self) -> None:
        # The three examples of RFC 9110 section 5.6.7 are one moment.
        for text in ("Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                     "Sun Nov  6 08:49:37 1994"):
            self.assertEqual(retry_after.date_ms(text, NOW), 784111777000, text)

    def test_uuid7_of_the_rfc(self) -> None:
        # RFC 9562, appendix A.6.
        made = random64.uuid7(0x017F22E279B0, 0xCC3 << 52, 0x18C4DC0C0C07398F << 2)
        self.assertEqual(made, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")


class Invariants(unittest.TestCase):
    """What has to hold for any input."""

    def test_vectors_are_what_the_reference_gives(self) -> None:
        path = pathlib.Path(__file__).with_name("generate.py")
        ran = subprocess.run([sys.executable, str(path), "--check"], capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stdout)

    def test_a_dozen_cases_for_each_function(self) -> None:
        for name, functions in generate.files().items():
            for function in functions:
                self.assertGreaterEqual(len(function["cases"]), 12, (name, function["function"]))
                titles = [case["name"] for case in function["cases"]]
                if function["function"] != "murmur3_32":
                    self.assertEqual(len(set(titles)), len(titles), function["function"])

    def test_vector_files_are_ascii_and_lines_are_json(self) -> None:
        for path in pathlib.Path(__file__).parent.parent.glob("vectors/*.json"):
            self.assertTrue(path.read_bytes().isascii(), path)
        for case in generate.files()["event_line"][0]["cases"]:
            read = [json.loads(line) for line in case["out"].get("lines", [])]
            self.assertTrue(all(one == read[0] for one in read), case["name"])
            for line in case["out"].get("lines", []):
                self.assertNotIn("\n", line)

    def test_eviction_frees_enough_or_nothing(self) -> None:
        chance = random64.SplitMix64(9)
        for _ in range(3000):
            queued = [[1 + chance.next_u64() % 40 for _ in range(chance.next_u64() % 9)]
                      for _ in range(3)]
            floors = [chance.next_u64() % 60 for _ in range(3)]
            class_, size, most = chance.next_u64() % 3, 1 + chance.next_u64() % 90, 400
            sealed = chance.next_u64() % 200
            got = eviction.choose(queued, sealed, class_, size, most, floors)
            left = [sum(one[gone:]) for one, gone in zip(queued, got["evicted"])]
            used = sealed + sum(map(sum, queued))
            if got["admitted"]:
                self.assertLessEqual(sealed + sum(left) + size, max(most, used))
                self.assertLessEqual(size + sealed + sum(left), max(most, used + size))
            else:
                self.assertEqual(got["evicted"], [0, 0, 0])
            for place in range(3):
                if got["evicted"][place]:
                    self.assertGreaterEqual(place, class_)
                    self.assertGreaterEqual(left[place], floors[place])
            if got["admitted"] and used + size > most:
                self.assertLessEqual(sealed + sum(left) + size, most)

    def test_halves_are_the_whole(self) -> None:
        for n in range(2, 60):
            lines = [str(i) for i in range(n)]
            first, second = split.split(lines)["batches"]
            self.assertEqual(first + second, lines)
            self.assertIn(len(first) - len(second), (0, 1))

    def test_delays_stay_in_their_bounds(self) -> None:
        chance = random64.SplitMix64(5)
        for _ in range(3000):
            server, n, unit = chance.next_u64() % 4_000_000, chance.next_u64() % 70, chance.unit()
            server = min(server, backoff.WAIT_MS_MAX)
            delay = backoff.delay_ms(server, n, 1000, 60000, unit)
            self.assertTrue(server <= delay <= min(backoff.WAIT_MS_MAX, server + 60000))

    def test_garbage_is_never_thrown(self) -> None:
        chance = random64.SplitMix64(7)
        signs = '{}[]",:0123456789.eE+-truefalsn \t\\u\u00e9GMT'
        for _ in range(3000):
            text = "".join(signs[chance.next_u64() % len(signs)] for _ in range(chance.next_u64() % 40))
            self.assertTrue(0 <= retry_after.server_ms(text, text, NOW) <= backoff.WAIT_MS_MAX)
            reply.classify(int(chance.next_u64() % 700), text, text, "x", 2, NOW)
            config.effective("device", {}, config.chosen(None, text))

    def test_a_bucket_gives_no_more_than_it_gets(self) -> None:
        calls = [[at, 1] for at in range(0, 10_000, 7)]
        self.assertLessEqual(sum(bucket.passes(10, 20, calls)), 20 + 100)

    def test_lower_rates_keep_a_part_of_higher_ones(self) -> None:
        for at in range(2000):
            kept = [sampling.kept(f"u{at}", "t", rate)["keep"] for rate in (0.1, 0.4, 0.9, 1)]
            self.assertEqual(kept, sorted(kept))


if __name__ == "__main__":
    unittest.main()
