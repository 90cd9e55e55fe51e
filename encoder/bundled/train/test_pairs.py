"""python -m unittest, in this folder: what training may read, and what it makes of it."""

import pathlib
import tempfile
import unittest

import pairs


class Allowed(unittest.TestCase):
    def test_test_material_is_refused(self):
        with tempfile.TemporaryDirectory() as data:
            for name in ("scifact/qrels/test.tsv", "cosqa/qrels/test.tsv", "medquad/qrels/test.tsv", "cranfield/corpus.jsonl", "scifact/qrels/../qrels/test.tsv"):
                path = pathlib.Path(data, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("x")
                with self.assertRaises(PermissionError):
                    pairs.allowed(data, name)

    def test_pairs_open_nothing_else(self):
        source = pathlib.Path(pairs.__file__).read_text()
        self.assertEqual(source.count("open(pathlib.Path(data)"), 1)  # in allowed()
        self.assertFalse([n for n in pairs.ALLOWED if "test" in n])


class Pairs(unittest.TestCase):
    def test_python(self):
        code = 'def read_all(path):\n    """Return the contents of a file as text.\n\n    The file is decoded as UTF-8, and newlines are kept as they are found.\n    """\n'
        (pair,) = pairs.python_pairs("x", [("x/io.py", code)])
        self.assertEqual(pair["q"], "Return the contents of a file as text.")
        self.assertTrue(pair["d"].startswith("x.io: def read_all(path)\n\nThe file is decoded"))

    def test_manual(self):
        page = "<h2>Connection Strings</h2><p>" + "several functions parse a string given by the user to obtain their parameters " * 2 + "</p><h2>1</h2><p>x</p>"
        (pair,) = pairs.manual_pairs("x", [("a.html", page)])
        self.assertEqual(pair["q"], "Connection Strings")

    def test_held_out_by_text_alone(self):
        self.assertEqual(pairs.held_out({"q": "Open a File!"}), pairs.held_out({"q": "open a file", "d": "other"}))

    def test_spelled(self):
        self.assertEqual(pairs.spelled("readAll_lines"), "read all lines")


if __name__ == "__main__":
    unittest.main()
