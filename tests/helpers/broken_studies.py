"""Invalid study files and the message for each: the one table of the unit tests and the pipeline tests.

A message follows the file's name: one line for each mistake, or how the line begins.
"""

from typing import NamedTuple

LEAST = "name: mine\nmodels: {whisper-base: {}}\n"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
_ALIKE = "indent all keys of one level equally, with a colon and a space after each; put a text with a colon in quotes"
_NAME = (
    "may contain only the letters A to Z, digits, dots, dashes and underscores, and must begin with a letter or digit"
)
_YES_NO = "; YAML reads yes, no, on and off as true and false: put it in quotes"


class Broken(NamedTuple):
    what: str
    text: str | bytes
    said: str | tuple[str, ...]


def _in(key: str, text: str) -> str:
    """Return the smallest study with one more key."""
    return f"{LEAST}{key}: {text}\n"


def _models(text: str) -> str:
    return f"name: mine\nmodels: {{{text}}}\n"


# Files that Snakemake cannot read, or reads without a warning.
UNREADABLE = [
    Broken("nothing", "", ": is empty; a study has keys with values, at least name and models"),
    Broken("only comments", "# name: mine\n", ": is empty; a study has keys with values, at least name and models"),
    Broken("a list", "- name: mine\n- models: {}\n", ": is a list; a study has keys with values"),
    Broken("a text", "whisper-base\n", ": is a text; a study has keys with values"),
    Broken("a number", "42\n", ": is a single value; a study has keys with values"),
    Broken("no space after a colon", "name:mine\n", ": is a text; a study has keys with values"),
    Broken(
        "a tab",
        "name: mine\nmodels:\n\twhisper-base: {}\n",
        ", line 3, column 1: is not YAML (while scanning for the next token found character '\\t' that cannot start "
        "any token); indent with spaces, not with tabs",
    ),
    Broken(
        "no colon",
        "name: mine\nmodels\n  whisper-base: {}\n",
        ", line 3, column 15: is not YAML (while scanning a simple key could not find expected ':'; it begins in "
        "line 2); put a colon and a space after each key",
    ),
    Broken(
        "no colon at the end",
        f"{LEAST}seed\n",
        ", line 4, column 1: is not YAML (while scanning a simple key could not find expected ':'; it begins in line 3)"
        "; put a colon and a space after each key",
    ),
    Broken(
        "an indent too much",
        "name: mine\n  models: {whisper-base: {}}\n",
        f", line 2, column 9: is not YAML (mapping values are not allowed here); {_ALIKE}",
    ),
    Broken(
        "an indent too little",
        f"{LEAST}protocol:\n    budget_s: 3\n  target: 0.1\n",
        ", line 5, column 3: is not YAML (while parsing a block mapping expected <block end>, but found '<block "
        f"mapping start>'; it begins in line 1); {_ALIKE}",
    ),
    Broken(
        "an open brace",
        "name: mine\nmodels: {whisper-base: {}\nseed: 1\n",
        ", line 3, column 1: is not YAML (while parsing a flow mapping expected ',' or '}', but got '<scalar>'; it "
        "begins in line 2); close the bracket or quote",
    ),
    Broken(
        "an open bracket",
        _in("batch_sizes", "[1, 4"),
        ", line 4, column 1: is not YAML (while parsing a flow sequence expected ',' or ']', but got '<stream end>'; "
        "it begins in line 3); close the bracket or quote",
    ),
    Broken(
        "an open quote",
        'name: "mine\nmodels: {whisper-base: {}}\n',
        ", line 3, column 1: is not YAML (while scanning a quoted scalar found unexpected end of stream; it begins in "
        "line 1); close the bracket or quote",
    ),
    Broken("a colon in a text", _in("results", "a: b"), ", line 3, column 11: is not YAML (mapping values"),
    Broken("a percent sign", _in("seed", "%42"), ", line 3, column 7: is not YAML (while scanning for the next token"),
    Broken(
        "an alias of nothing",
        _in("batch_sizes", "*sizes"),
        ", line 3, column 14: is not YAML (found undefined alias 'sizes'); * repeats a value that & named before; "
        "put a text that begins with * in quotes",
    ),
    Broken(
        "two studies",
        f"{LEAST}---\n{LEAST}",
        ", line 3, column 1: is not YAML (expected a single document in the stream but found another document; it "
        "begins in line 1); a file contains one study; remove the line ---",
    ),
    Broken(
        "a tag",
        _in("seed", "!!python/object:os.system {}"),
        ", line 3, column 7: is not YAML (could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/object:os.system'); ! marks a type; put a text that begins with ! in quotes",
    ),
    Broken(
        "a tag that does not fit",
        _in("seed", "!!bool maybe"),
        ": contains an invalid value ('maybe'); put it in quotes",
    ),
    Broken("a key of several values", f"{LEAST}? [a, b]\n: 1\n", ", line 3, column 3: is not YAML (while constructing"),
    Broken(
        "a merge of what is no mapping",
        f"{LEAST}protocol: {{<<: 3}}\n",
        ", line 3, column 16: is not YAML (while constructing a mapping expected a mapping or list of mappings",
    ),
    Broken(
        "a day that is none",
        _in("seed", "2026-02-30"),
        ": contains an invalid value (day is out of range for month); put it in quotes",
    ),
    Broken("a key twice", f"{LEAST}name: other\n", ", line 3: the key name is in line 1 already; keep one"),
    Broken(
        "a model twice",
        "name: mine\nmodels:\n  whisper-base: {}\n  whisper-base: {weights: random}\n",
        ", line 4: the key whisper-base is in line 3 already; keep one",
    ),
    Broken(
        "a key twice in braces", _in("protocol", "{target: 0.1, target: 0.2}"), ", line 3: the key target is in line"
    ),
    Broken(
        "a key twice in JSON",
        '{"name": "mine", "models": {"whisper-base": {}}, "name": "other"}',
        ': the key "name" appears twice; keep one',
    ),
    Broken(
        "an anchor in itself",
        _in("batch_sizes", "&sizes [1, *sizes]"),
        ", line 3, column 14: is an anchor that contains",
    ),
    Broken(
        "anchors of anchors",
        "a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)),
        ": has more than 100,000 values with its anchors expanded; use fewer",
    ),
    Broken("brackets without end", "[" * 5000, ": is nested too deeply"),
    Broken(
        "a file without end",
        f"{LEAST}{'# nothing' * 600_000}\n",
        ": has 5 MB, more than the 5 MB allowed for such a file",
    ),
    Broken("a list without end", _in("batch_sizes", f"[{'1, ' * 200_000}]"), ": has more than 100,000 values with its"),
    Broken(
        "a list of JSON without end",
        f'{{"name": "mine", "models": {{}}, "batch_sizes": [{"1, " * 200_000}1]}}',
        ": has more than 100,000 values with its anchors expanded; use fewer",
    ),
    Broken(
        "what means eight", _in("batch_sizes", "[010]"), ", line 3, column 15: 010 means 8 in YAML; write 8, or put it"
    ),
    Broken(
        "minutes and seconds",
        _in("durations_s", "[1:30]"),
        ", line 3, column 15: 1:30 means 90 in YAML; write 90, or put it in quotes",
    ),
    Broken(
        "a template",
        f"__use_yte__: true\n{LEAST}",
        ": __use_yte__ would run code; a study is plain YAML: write the values out",
    ),
    Broken("what is no text", b"\x89PNG\r\n\x1a\n\0\0", ", line 1: is not UTF-8 text; save it as UTF-8"),
    Broken("another encoding", LEAST.encode("utf-16"), ", line 1: is not UTF-8 text; save it as UTF-8"),
    Broken(
        "a letter of another encoding",
        f"{LEAST}# für mich\n".encode("latin-1"),
        ", line 3: is not UTF-8 text; save it as UTF-8",
    ),
    Broken("a control character", f"{LEAST}# \x07\n", ", line 3: contains the control character U+0007; delete it"),
]

BROKEN = [
    Broken("no name", "models: {whisper-base: {}}\n", ": the key name is missing"),
    Broken("an empty name", "name:\nmodels: {whisper-base: {}}\n", ": the key name is missing"),
    Broken("no models", "name: mine\n", ": the key models is missing"),
    Broken(
        "two mistakes",
        f"{LEAST}sead: 1\nthreads: 0\n",
        (": unknown key sead (did you mean seed?)", ": threads: 0 must"),
    ),
    Broken("an unknown key", _in("modles", "{}"), ": unknown key modles (did you mean models?); allowed are name, "),
    Broken("an unknown key like no other", _in("colour", "red"), ": unknown key colour; allowed are name, results, "),
    Broken(
        "a key at the wrong level",
        _in("budget_s", "3"),
        ": unknown key budget_s (did you mean protocol.budget_s?); allowed",
    ),
    Broken(
        "a key with a letter that looks like another",
        _in("sееd", "1"),
        ": unknown key sееd (е is U+0435, cyrillic small letter ie); allowed are name",
    ),
    Broken("a key that is a number", _in("1", "1"), ': 1 is not text; put it in quotes ("1")'),
    Broken(
        "a password",
        _in("corpus", "{kind: folder, path: x, licence: 'http://u:pw@host'}"),
        ": corpus.licence: http://***@host must not contain a password or token",
    ),
    Broken("a key of several lines", _in('"a\\nb"', "1"), ': "a\\nb" must be one line without control characters'),
    Broken("a name with a space", "name: a b\nmodels: {whisper-base: {}}\n", f': name: "a b" {_NAME}'),
    Broken(
        "a name with an umlaut", "name: für\nmodels: {whisper-base: {}}\n", f': name: "für" {_NAME} (ü is U+00FC, latin'
    ),
    Broken(
        "a name that is a date",
        "name: 2026-01-31\nmodels: {whisper-base: {}}\n",
        ": name: 2026-01-31 is taken for a date",
    ),
    Broken(
        "a name that is a number",
        "name: 2026\nmodels: {whisper-base: {}}\n",
        ': name: 2026 must be text; put it in quotes ("2026")',
    ),
    Broken("a name that is a truth", "name: on\nmodels: {whisper-base: {}}\n", f": name: true must be text{_YES_NO}"),
    Broken(
        "an endless name",
        f"name: {'a' * 300}\nmodels: {{whisper-base: {{}}}}\n",
        f': name: "{"a" * 78}… must be at most 100',
    ),
    Broken("a name that climbs", "name: ../mine\nmodels: {whisper-base: {}}\n", f': name: "../mine" {_NAME}'),
    # Results
    Broken("results of two lines", _in("results", '"results\\n"'), ': results: "results\\n" must be one line'),
    Broken("results at the root", _in("results", "/tmp/x"), ': results: "/tmp/x" must be a folder in the checkout'),
    Broken("results beside the checkout", _in("results", "../x"), ': results: "../x" must be a folder in the checkout'),
    Broken("results at home", _in("results", "~/x"), ': results: "~/x" must be a folder in the checkout'),
    Broken("results outside, after all", _in("results", "a/../../x"), ": results: ../x is not in the checkout; name"),
    Broken("results in a hidden folder", _in("results", "tests/.git"), ": results: tests/.git: .git is hidden and may"),
    Broken("results below a hidden folder", _in("results", "a/.b/c"), ": results: a/.b/c: .b is hidden and may belong"),
    Broken("results hidden after all", _in("results", "a/../.git/x"), ": results: .git/x: .git is hidden and may"),
    Broken("results everywhere", _in("results", "a/.."), ": results: . is not in the checkout; name a folder in it"),
    # Models
    Broken("empty models", _models(""), ": models: {} must not be empty"),
    Broken(
        "a model without end",
        _models(f"{'a' * 100}: {{path: x}}"),
        f": models.{'a' * 100}: ends with 20 or more repetitions of the same letters, which Snakemake mistakes for",
    ),
    Broken(
        "a model that ends in a loop",
        _models(f"whisper-{'ab1' * 20}: {{path: x}}"),
        f": models.whisper-{'ab1' * 20}: ends with 20 or more repetitions of the same letters, which",
    ),
    Broken(
        "a variant without end",
        _in("variants", f"{{a{'-' * 20}: {{}}}}"),
        f": variants.a{'-' * 20}: ends with 20 or more repetitions of the same letters, which Snakemake",
    ),
    Broken(
        "a list of models",
        "name: mine\nmodels: [whisper-base]\n",
        ': models: ["whisper-base"] must be keys with values',
    ),
    Broken("a model alone", "name: mine\nmodels: whisper-base\n", ': models: "whisper-base" must be keys with values'),
    Broken(
        "an unknown model",
        _models("whisper-tinny: {}"),
        ": models.whisper-tinny: unknown model (did you mean whisper-tiny?); known models are whisper-tiny, ",
    ),
    Broken(
        "a model of the Hub by its name", _models("openai/whisper-tiny: {}"), f': models: "openai/whisper-tiny" {_NAME}'
    ),
    Broken(
        "a model with another hyphen",
        _models("whisper‑base: {}"),
        f': models: "whisper‑base" {_NAME} (‑ is U+2011, non-',
    ),
    Broken("a model named 1", _models("1: {}"), ': models.1 is not text; put it in quotes ("1")'),
    Broken("a model named yes", _models("yes: {}"), f": models.True is not text{_YES_NO}"),
    Broken(
        "an endless model",
        _models(f"{'m' * 260}: {{path: x}}"),
        f': models: "{"m" * 78}… must be at most 100 characters long',
    ),
    Broken(
        "an unknown key of a model",
        _models("whisper-base: {weigths: random}"),
        ": models.whisper-base: unknown key weigths (did you mean weights?); allowed are weights, id",
    ),
    Broken(
        "unknown weights",
        _models("whisper-base: {weights: cloud}"),
        ': models.whisper-base.weights: "cloud" is not allowed; allowed are packaged, hub, local, random',
    ),
    Broken(
        "a model of the Hub without a commit",
        _models("own: {id: me/own}"),
        ": models.own.revision: give the commit of me/own, 40 hexadecimal digits",
    ),
    Broken(
        "a model of the Hub at a branch",
        _models("own: {id: me/own, revision: main}"),
        ': models.own.revision: "main" must be a commit, 40 hexadecimal digits',
    ),
    Broken(
        "a commit without a letter",
        _models(f"own: {{id: me/own, revision: {'1' * 40}}}"),
        f': models.own.revision: {"1" * 40} must be text or null; put it in quotes ("{"1" * 40}")',
    ),
    Broken(
        "a model without an owner", _models("own: {id: own}"), ': models.own.id: "own" must be of the form owner/name'
    ),
    Broken("an id that climbs", _models("own: {id: me/..}"), ': models.own.id: "me/.." must be of the form owner/name'),
    Broken(
        "packaged weights of the Hub",
        _models(f"own: {{id: me/own, revision: {COMMIT}, weights: packaged}}"),
        ": models.own.weights: packaged does not go with id; allowed are hub, random",
    ),
    Broken(
        "weights of the Hub in a folder",
        _models("own: {path: x, weights: hub}"),
        ": models.own.weights: hub does not go with path; allowed are local, random",
    ),
    Broken(
        "two places",
        _models("own: {id: me/own, path: x}"),
        ": models.own: id and path contradict each other; give one of them",
    ),
    Broken(
        "a commit of no repository",
        _models(f"whisper-base: {{revision: {COMMIT}}}"),
        ": models.whisper-base.revision: is valid only with id",
    ),
    Broken("no folder", _models("own: {weights: local}"), ": models.own.path: give the folder of the weights"),
    Broken(
        "unknown to the Hub",
        _models("own: {weights: hub}"),
        ": models.own: unknown model; known models are whisper-tiny, ",
    ),
    Broken("a folder that is not there", _models("own: {path: no/such}"), ": models.own.path: no/such is not a folder"),
    Broken(
        "an endless folder", _models(f"own: {{path: {'p' * 300}}}"), f": models.own.path: {'p' * 300} is not a folder"
    ),
    Broken(
        "a folder without a model", _models("own: {path: schemas}"), ": models.own.path: schemas has no config.json"
    ),
    Broken(
        "weights that no package has",
        _models("whisper-small: {}"),
        ": models.whisper-small.weights: no package has its pretrained",
    ),
    # The corpus
    Broken("a corpus that is a name", _in("corpus", "quickstart"), ': corpus: "quickstart" must be keys with values'),
    Broken("a corpus that is a number", _in("corpus", "5"), ": corpus: 5 must be keys with values"),
    Broken(
        "an unknown kind",
        _in("corpus", "{kind: youtube}"),
        ': corpus.kind: "youtube" is not allowed; allowed are packages, gigaspeech, hub, folder',
    ),
    Broken(
        "a kind in capitals",
        _in("corpus", "{kind: [hub]}"),
        ': corpus.kind: ["hub"] is not allowed; allowed are packages',
    ),
    Broken(
        "no kind",
        _in("corpus", "{name: x}"),
        ": corpus: the key kind is missing; it is one of packages, gigaspeech, hub",
    ),
    Broken("no name of a corpus", _in("corpus", "{kind: packages}"), ": corpus: the key name is missing"),
    Broken(
        "an unknown corpus",
        _in("corpus", "{kind: packages, name: quikstart}"),
        ": corpus.name: unknown corpus quikstart (did you mean quickstart?); known are quickstart",
    ),
    Broken("no id of a corpus", _in("corpus", "{kind: hub}"), ": corpus: the key id is missing"),
    Broken(
        "a corpus without an owner",
        _in("corpus", "{kind: hub, id: librispeech}"),
        ': corpus.id: "librispeech" must be of',
    ),
    Broken(
        "one column for both",
        _in("corpus", "{kind: hub, id: me/x, text: audio}"),
        ": corpus.text and corpus.audio are both",
    ),
    Broken(
        "a number for a split",
        _in("corpus", "{kind: hub, id: me/x, split: 1}"),
        ": corpus.split: 1 must be text; put it in",
    ),
    Broken("an empty split", _in("corpus", '{kind: hub, id: me/x, split: ""}'), ': corpus.split: "" must not be empty'),
    Broken("no folder of a corpus", _in("corpus", "{kind: folder}"), ": corpus: the key path is missing"),
    Broken(
        "a folder of nothing", _in("corpus", "{kind: folder, path: no/such}"), ": corpus.path: no/such is not a folder"
    ),
    Broken(
        "an endless folder of speech", _in("corpus", f"{{kind: folder, path: {'p' * 300}}}"), ": corpus.path: pppppp"
    ),
    Broken(
        "a folder without audio",
        _in("corpus", "{kind: folder, path: schemas}"),
        ": corpus.path: schemas has no audio file, and neither metadata.csv nor metadata.jsonl",
    ),
    Broken(
        "a folder without the texts that are named",
        _in("corpus", "{kind: folder, path: schemas, text: said}"),
        ": corpus.path: schemas has neither metadata.csv nor metadata.jsonl; write one",
    ),
    Broken(
        "two mistakes in a corpus",
        _in("corpus", "{kind: folder, path: x, durations: exact, segments_per_class: 0}"),
        (
            ': corpus.durations: "exact" is not allowed; allowed are joined, natural',
            ": corpus.segments_per_class: 0 must be at least 1",
        ),
    ),
    Broken(
        "a key of another kind",
        _in("corpus", "{kind: gigaspeech, path: x}"),
        ": corpus: unknown key path; allowed are kind",
    ),
    Broken(
        "half a hash",
        _in("corpus", "{kind: gigaspeech, selection_sha256: abc}"),
        ': corpus.selection_sha256: "abc" must be a sha256, 64 hexadecimal digits',
    ),
    # The grid
    Broken(
        "an unknown device",
        _in("devices", "[gpu]"),
        ': devices.0: "gpu" is not allowed; allowed are cpu, cuda, or "auto"',
    ),
    Broken("a device alone", _in("devices", "cpu"), ': devices: "cpu" must be a list, or "auto"'),
    Broken("a duration twice", _in("durations_s", "[5, 5.0]"), ": durations_s: [5, 5] must not contain a value twice"),
    Broken("a duration in words", _in("durations_s", "[five]"), ': durations_s.0: "five" must be a whole number'),
    Broken("a duration with its unit", _in("durations_s", "[5s]"), ': durations_s.0: "5s" must be a whole number'),
    Broken("half a second", _in("durations_s", "[5, 5.5]"), ": durations_s.1: 5.5 must be a whole number"),
    Broken("a decimal comma", _in("durations_s", "[5,5]"), ": durations_s: [5, 5] must not contain a value twice"),
    Broken("an hour", _in("durations_s", "[3600]"), ": durations_s.0: 3600 must be at most 600"),
    Broken("no durations", _in("durations_s", "[]"), ": durations_s: [] must not be empty"),
    Broken("a duration alone", _in("durations_s", "5"), ": durations_s: 5 must be a list"),
    Broken("a batch of nothing", _in("batch_sizes", "[0]"), ": batch_sizes.0: 0 must be at least 1"),
    Broken("a batch that is a truth", _in("batch_sizes", "[yes]"), ": batch_sizes.0: true must be a whole number"),
    Broken(
        "a batch without end", _in("batch_sizes", '"[1, -Infinity]"'), ": batch_sizes.1: -inf must be a finite number"
    ),
    Broken(
        "no cell at all",
        _in("max_batch_audio_s", "4"),
        ": max_batch_audio_s: 4 leaves no cell; the smallest, 5 s times 1, has 5 s of audio",
    ),
    Broken(
        "too many cells",
        f"{LEAST}durations_s: [{', '.join(map(str, range(1, 601)))}]\n"
        f"batch_sizes: [{', '.join(map(str, range(1, 1025)))}]\ndevices: [cpu, cuda]\n",
        ": 1,228,800 cells in 3 laps are more than the 100,000 that can be planned; name fewer models, variants, "
        "durations_s or",
    ),
    Broken("no threads", _in("threads", "0"), ': threads: 0 must be at least 1, or "auto"'),
    Broken("all threads", _in("threads", "all"), ': threads: "all" must be a whole number, or "auto"'),
    Broken("threads for a city", _in("threads", "1000000"), ': threads: 1000000 must be at most 4096, or "auto"'),
    Broken("a seed below nothing", _in("seed", "-1"), ": seed: -1 must be at least 0"),
    Broken("a seed above all", _in("seed", "1.0e+300"), ": seed: 1e+300 must be at most 4294967295"),
    Broken(
        "a seed that is a set", _in("seed", "!!set {1}"), ': seed: {1} is taken for a set; put it in quotes ("{1}")'
    ),
    Broken(
        "unknown number format",
        _in("variants", "{half: {dtype: float8}}"),
        ': variants.half.dtype: "float8" is not allowed',
    ),
    Broken(
        "a runtime that there is not",
        _in("variants", "{fast: {runtime: transformer, dtype: int8}}"),
        ': variants.fast.runtime: "transformer" is not allowed (did you mean transformers?); allowed are ctranslate2, '
        "faster_whisper, onnxruntime, openvino, torch_loop, transformers, whispercpp, {path: my_engine.py}",
    ),
    Broken(
        "a number for a runtime",
        _in("variants", "{fast: {runtime: 5}}"),
        ": variants.fast.runtime: 5 is not allowed; allowed are ctranslate2, faster_whisper, onnxruntime, openvino, "
        "torch_loop, transformers, whispercpp, {path: my_engine.py}",
    ),
    Broken(
        "an engine that is not there",
        _in("variants", "{mine: {runtime: {path: no/engine.py}}}"),
        ": variants.mine.runtime.path: no/engine.py cannot be read (No such file or directory)",
    ),
    Broken(
        "an engine that is not Python",
        _in("variants", "{mine: {runtime: {path: README.md}}}"),
        ": variants.mine.runtime.path: README.md, line ",
    ),
    Broken(
        "an engine that is not the one that is pinned",
        _in("variants", f"{{mine: {{runtime: {{path: scripts/measure.py, sha256: {'a' * 64}}}}}}}"),
        ": variants.mine.runtime.sha256: scripts/measure.py has sha256 ",
    ),
    Broken(
        "a number format of an engine",
        _in("variants", "{mine: {runtime: {path: scripts/measure.py}, dtype: float32}}"),
        ": variants.mine: unknown key dtype; allowed are runtime",
    ),
    Broken(
        "a list for an engine's option",
        _in("variants", "{mine: {runtime: {path: scripts/measure.py, options: {beams: [1]}}}}"),
        ": variants.mine.runtime.options.beams: [1] must be text or a whole number or a number",
    ),
    Broken(
        "an engine as the baseline",
        _in("variants", "{fp32: {runtime: {path: scripts/measure.py}}}"),
        ": variants.fp32: fp32 is the baseline, in float32 by transformers; give this variant another name",
    ),
    Broken("a path of a variant", _in("variants", "{a/b: {}}"), f': variants: "a/b" {_NAME}'),
    Broken(
        "a baseline that is none",
        _in("variants", "{fp32: {dtype: float16}}"),
        ": variants.fp32.dtype: fp32 is the baseline, float32; give the variant in float16 another name",
    ),
    # The protocol
    Broken("no interval", _in("protocol", "{target: 0}"), ": protocol.target: 0 must be more than 0"),
    Broken(
        "a target that is no number",
        _in("protocol", "{target: .nan}"),
        ": protocol.target: nan must be a finite number",
    ),
    Broken("the same in words", _in("protocol", "{target: NaN}"), ": protocol.target: nan must be a finite number"),
    Broken("a target in per cent", _in("protocol", "{target: 2.5%}"), ': protocol.target: "2.5%" must be a number'),
    Broken("endless passes", _in("protocol", "{budget_s: .inf}"), ": protocol.budget_s: inf must be a finite number"),
    Broken(
        "the same in digits", _in("protocol", '{budget_s: "1e999"}'), ": protocol.budget_s: inf must be a finite number"
    ),
    Broken("a budget in words", _in("protocol", "{budget_s: long}"), ': protocol.budget_s: "long" must be a number'),
    Broken(
        "an unknown key of the protocol", _in("protocol", "{targt: 0.1}"), ": protocol: unknown key targt (did you mean"
    ),
    Broken("a protocol to come", _in("protocol", "{version: 3}"), ": protocol.version: 3 is not allowed; it must be 2"),
    Broken(
        "the protocol before",
        _in("protocol", "{version: 1}"),
        ": protocol.version: 1 is not allowed; it must be 2: protocol 2 measures in laps and cannot use "
        "records of protocol 1; remove the key, and give the study another results folder",
    ),
    Broken(
        "keys of the protocol before",
        _in("protocol", "{min_passes: 5, timed_batches: 2, aa_pairs: 1}"),
        ": protocol: unknown key aa_pairs (gone: all cells are measured once a lap, protocol.laps times), min_passes "
        "(gone: each lap times at least one round), timed_batches (gone: all batches are timed); allowed are version, ",
    ),
    Broken("no lap", _in("protocol", "{laps: 0}"), ": protocol.laps: 0 must be at least 1"),
    Broken("more laps than can be named", _in("protocol", "{laps: 10}"), ": protocol.laps: 10 must be at most 9"),
    Broken("no minute", _in("protocol", "{minutes: 0}"), ": protocol.minutes: 0 must be at least 0.1"),
    Broken(
        "time for the whole and for each cell",
        _in("protocol", "{minutes: 5, budget_s: 5}"),
        ": protocol.budget_s: give either protocol.minutes, the time of the whole study, or protocol.budget_s, "
        "the time of a cell in a lap, and null for the other",
    ),
    Broken(
        "more minutes than cells can take",
        _in("protocol", "{minutes: 9000}"),
        ": protocol.minutes: 9000 is 22500 s for each cell in each lap, more than protocol.timeout_s, 600, which ends",
    ),
    Broken(
        "short windows", _in("protocol", "{energy_window_s: 1}"), ": protocol.energy_window_s: 1 must be at least 5"
    ),
    Broken("no time at all", _in("protocol", "{timeout_s: 0.5}"), ": protocol.timeout_s: 0.5 must be at least 1"),
    Broken(
        "time for ever", _in("protocol", "{timeout_s: 1.0e+12}"), ": protocol.timeout_s: 1000000000000 must be at most"
    ),
    Broken(
        "a budget that is over time",
        _in("protocol", "{budget_s: 1200}"),
        ": protocol.budget_s: 1200 is more than protocol.timeout_s, 600, which ends a cell; raise that",
    ),
    Broken(
        "a list for a truth",
        _in("protocol", "{larger_than_oom: [on]}"),
        ": protocol.larger_than_oom: [true] must be true",
    ),
    # Profiles
    Broken(
        "a profile of no class",
        _in("profile", "{durations_s: [7]}"),
        ": profile.durations_s: 7 is not among durations_s: 5",
    ),
    Broken(
        "a profile of no batch",
        _in("profile", "{batch_sizes: [0]}"),
        ": profile.batch_sizes.0: 0 must be at least 1, or",
    ),
    Broken(
        "a profile of what is left out",
        f"{LEAST}max_batch_audio_s: 60\nprofile: {{durations_s: [60], batch_sizes: [4]}}\n",
        ": profile: max_batch_audio_s, 60, leaves no cell to profile; name other sizes, or durations_s: [] for none",
    ),
    # The report
    Broken(
        "no language",
        _in("report", "{language: no}"),
        f": report.language: false is not allowed; allowed are en, ru{_YES_NO}",
    ),
    Broken(
        "an unknown language",
        _in("report", "{language: xx}"),
        ': report.language: "xx" is not allowed; allowed are en, ru',
    ),
    Broken(
        "an unknown limit",
        _in("report", "{scenarios: {own: {max_wr: 0.1}}}"),
        ": report.scenarios.own: unknown key max_wr (did you mean max_wer?); allowed are description",
    ),
    Broken(
        "errors in per cent",
        _in("report", "{scenarios: {own: {max_wer: 15}}}"),
        ": report.scenarios.own.max_wer: 15 must",
    ),
    Broken(
        "an unknown preference",
        _in("report", "{scenarios: {own: {prefer: price}}}"),
        ': report.scenarios.own.prefer: "price" is not allowed; allowed are throughput, latency, energy, accuracy',
    ),
    Broken(
        "a purpose of no class",
        _in("report", "{scenarios: {own: {duration_s: 7}}}"),
        ": report.scenarios.own.duration_s: 7 is not among durations_s: 5, 15, 30, 60",
    ),
    Broken(
        "a list of purposes",
        _in("report", "{scenarios: [own]}"),
        ': report.scenarios: ["own"] must be keys with values',
    ),
    Broken(
        "a gate that is none",
        _in("report", "{accuracy_gate: .nan}"),
        ": report.accuracy_gate: nan must be a finite number",
    ),
    Broken(
        "a price of no currency",
        _in("report", "{tariff: {price_per_kwh: 0.3}}"),
        ": report.tariff: give a currency with a",
    ),
    Broken(
        "a currency of no price",
        _in("report", "{tariff: {currency: EUR}}"),
        ": report.tariff: give a currency with a price",
    ),
    Broken(
        "a price with its sign",
        _in("report", "{tariff: {price_per_kwh: 0.3 €}}"),
        ': report.tariff.price_per_kwh: "0.3 €" must',
    ),
    Broken(
        "hundreds of durations that are too long",
        _in("durations_s", f"[{', '.join(map(str, range(1001, 1401)))}]"),
        (
            *(f": durations_s.{n}: {1001 + n} must be at most 600" for n in range(20)),
            ": and up to 380 more mistakes",
        ),
    ),
    Broken(
        "hundreds of keys that are none",
        f"{LEAST}{''.join(f'k{n}: 1{chr(10)}' for n in range(100, 500))}",
        f": unknown key {', '.join(f'k{n}' for n in range(100, 120))}, and 380 more; allowed are name, ",
    ),
    Broken(
        "thousands of models that are none",
        _models(", ".join(f"m{n}: 1" for n in range(1000, 4000))),
        (*(f": models.m{n}: 1 must be keys with values" for n in range(1000, 1020)), ": and up to 2,980 more mistakes"),
    ),
    Broken(
        "a profile of other sizes than hundreds",
        f"{_in('durations_s', str(list(range(1, 500))))}profile: {{durations_s: [500]}}\n",
        ": profile.durations_s: 500 is not among durations_s: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, "
        "17, 18, 19, 20, and 479 more",
    ),
    Broken("a comparison with nothing", _in("compare", '{first: ""}'), ': compare.first: "" must not be empty'),
]

# Values of --config over the smallest study, and the message for each.
COMMAND_LINES = [
    (["modles={}"], ": unknown key modles (did you mean models?); allowed are name"),
    (["durations_s=[5,"], ': durations_s: "[5," must be a list'),
    (["durations_s=5"], ": durations_s: 5 must be a list"),
    (["devices=cpu"], ': devices: "cpu" must be a list, or "auto"'),
    (["name="], ": the key name is missing"),
    (["seed=yes"], ': seed: "yes" must be a whole number'),
    (["protocol={budget_s: 1"], ': protocol: "{budget_s: 1" must be keys with values'),
    (["protocol={budget_s: 1200}"], ": protocol.budget_s: 1200 is more than protocol.timeout_s, 600"),
    (["durations_s=[5]", "profile={durations_s: [7]}"], ": profile.durations_s: 7 is not among durations_s: 5"),
]
