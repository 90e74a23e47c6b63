"""Segmenters of others, each installed in its own environment: found, run on one image, and their output read."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from keyhole.anatomy.schemes import NamedLabels, read_labels
from keyhole.errors import InvalidInput, SegmenterFailed

Progress = Callable[[str, float], None]

TIMEOUT_S = 4 * 3600.0
"""How long a segmenter may run: a large CT without a graphics card takes an hour and more."""

VERSION_TIMEOUT_S = 60.0
POLL_S = 0.2

EXPECTED_S = 300.0
"""A usual time, by which the share that is done is guessed: no tool tells it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a tool: its arguments, where INPUT, FOLDER and OUTPUT stand for places, and what it leaves.

    `output` is a pattern below OUTPUT (or FOLDER where it begins so); `scheme` names its integers where the file
    itself does not.
    """

    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    schemes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tool:
    """A segmenter: the command that it installs, its steps by modality, and how to get it."""

    name: str
    title: str
    command: str
    distribution: str
    steps: Mapping[str, tuple[Step, ...]]
    advice: str


@dataclass(frozen=True, slots=True)
class Found:
    """An installed segmenter: the command's words and its version."""

    tool: Tool
    words: tuple[str, ...]
    version: str


@dataclass(frozen=True, slots=True, eq=False)
class Segmented:
    """What a tool made of an image: named labels, and for the record its title, version and arguments."""

    named: NamedLabels
    tool: str
    version: str
    commands: tuple[str, ...]


def _total(task: str) -> Step:
    arguments = ("-i", "INPUT", "-o", f"OUTPUT/{task}.nii.gz", "--ml", "-ta", task)
    return Step(arguments, (f"OUTPUT/{task}.nii.gz",), (f"totalsegmentator_{task}",))


def _spineps(semantic: str, instance: str, labelling: str) -> Step:
    given = ("sample", "-ignore_bids_filter", "-ignore_inference_compatibility", "-i", "INPUT")
    models = ("-model_semantic", semantic, "-model_instance", instance, "-model_labeling", labelling)
    outputs = ("FOLDER/**/*seg-vert_msk.nii.gz", "FOLDER/**/*seg-spine_msk.nii.gz")
    return Step((*given, *models), outputs, ("spineps_vert_instance", "spineps_subregion"))


_SPINE = Step(("FOLDER", "OUTPUT"), ("OUTPUT/step2_output/*.nii.gz",), ("totalspineseg",))

TOOLS = {
    "totalsegmentator": Tool(
        "totalsegmentator",
        "TotalSegmentator",
        "TotalSegmentator",
        "TotalSegmentator",
        {"CT": (_total("total"), _total("vertebrae_body")), "MR": (_total("vertebrae_mr"), _total("total_mr"))},
        "pip install TotalSegmentator",
    ),
    "totalspineseg": Tool(
        "totalspineseg",
        "TotalSpineSeg",
        "totalspineseg",
        "totalspineseg",
        {"MR": (_SPINE,)},
        "pip install totalspineseg",
    ),
    "spineps": Tool(
        "spineps",
        "SPINEPS",
        "spineps",
        "spineps",
        {
            "CT": (_spineps("ct", "ct_instance", "ct_labeling"),),
            "MR": (_spineps("t2w", "instance", "t2w_labeling"),),
        },
        "pip install spineps",
    ),
}


def settings_file() -> Path:
    """Where the user's own settings are."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "keyhole" / "config.toml"


def found(name: str) -> Found:
    """The installed segmenter `name`: from the environment, the settings file, else the search path."""
    tool = TOOLS.get(name)
    if tool is None:
        raise InvalidInput(f"a segmenter is one of {', '.join(TOOLS)}, got {name!r}")
    variable = f"KEYHOLE_{name.upper()}"
    told, by = os.environ.get(variable, "").strip(), f"the variable {variable}"
    if not told:
        told, by = _from_settings(name), str(settings_file())
    words = tuple(shlex.split(told)) if told else (tool.command,)
    program = shutil.which(words[0])
    if program is None:
        if told:
            raise SegmenterFailed(f"{tool.title} was not found: {by} names {words[0]!r}, which is no program here")
        raise SegmenterFailed(
            f"{tool.title} was not found on this computer; install it in an environment of its own ({tool.advice}) "
            f"and name its program in {settings_file()} under [segmenters] as {name}, or in {variable}"
        )
    words = (program, *words[1:])
    return Found(tool, words, _version(words, tool))


def _from_settings(name: str) -> str:
    file = settings_file()
    if not file.is_file():
        return ""
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8")).get("segmenters", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{file} is not readable TOML: {error}") from error
    value = told.get(name, "") if isinstance(told, dict) else ""
    if not isinstance(value, str):
        raise InvalidInput(f"{file}: [segmenters] {name} must be a command in quotes, got {value!r}")
    return value.strip()


def _version(words: Sequence[str], tool: Tool) -> str:
    """What the tool calls its version: by --version, else by its environment's package list."""
    python = Path(words[0]).resolve().parent / ("python.exe" if sys.platform == "win32" else "python")
    question = f"from importlib.metadata import version; print(version({tool.distribution!r}))"
    for command in ([*words, "--version"], [str(python), "-c", question]):
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=VERSION_TIMEOUT_S,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        if done.returncode == 0 and lines and any(letter.isdigit() for letter in lines[-1]):
            return lines[-1].split()[-1][:40]
    return "of unknown version"


def run_tool(
    name: str, image: Path, modality: str, *, progress: Progress | None = None, timeout: float = TIMEOUT_S
) -> Segmented:
    """Run the segmenter `name` on the NIfTI file `image` and read what it made; the file itself is only read.

    Everything happens in a temporary folder. The tool and what it started are ended when it runs longer than
    `timeout` seconds, and when the wait for it is interrupted.
    """
    tell = progress or (lambda _sentence, _share: None)
    known = found(name)
    steps = known.tool.steps.get(modality)
    if steps is None:
        able = " and ".join(known.tool.steps)
        raise SegmenterFailed(f"{known.tool.title} segments {able}, this image is {modality}")
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyhole-segment-")))
        given, made = work / "input", work / "output"
        given.mkdir()
        made.mkdir()
        copy = given / f"sub-case_{'ct' if modality == 'CT' else 'T2w'}.nii.gz"
        shutil.copyfile(image, copy)
        places = {"INPUT": str(copy), "FOLDER": str(given), "OUTPUT": str(made)}
        files: list[Path] = []
        schemes: list[str] = []
        for n, step in enumerate(steps):
            span = (n / len(steps), (n + 1) / len(steps))
            _run(known, [_placed(a, places) for a in step.arguments], work, (tell, span, timeout))
            files += [_output(pattern, places, known.tool) for pattern in step.outputs]
            schemes += step.schemes
        tell("Reading what the segmenter made", 1.0)
        named = read_labels(files, [_scheme(*pair) for pair in zip(files, schemes, strict=True)])
    commands = tuple(" ".join((known.tool.command, *step.arguments)) for step in steps)
    return Segmented(_told(named, known), known.tool.title, known.version, commands)


def _scheme(file: Path, scheme: str) -> str:
    """The scheme of an output file: its own names where it has them."""
    from keyhole.imaging.nifti import read_nifti  # noqa: PLC0415

    return "auto" if read_nifti(file).names else scheme


def _placed(argument: str, places: Mapping[str, str]) -> str:
    head, slash, rest = argument.partition("/")
    return places.get(head, head) + slash + rest if head in places else argument


def _output(pattern: str, places: Mapping[str, str], tool: Tool) -> Path:
    """The one file that a step left."""
    head, _, rest = pattern.partition("/")
    held = sorted(Path(places[head]).glob(rest))
    if not held:
        raise SegmenterFailed(f"{tool.title} ended without an error but left no {Path(pattern).name}")
    return held[0]


def _told(named: NamedLabels, known: Found) -> NamedLabels:
    """`named` with the tool and its version as the source of every structure."""
    source = f"{known.tool.title} {known.version}"
    structures = {
        key: replace(one, source=f"{source}, {one.source.partition(', ')[2] or one.source}")
        for key, one in named.structures.items()
    }
    return replace(named, structures=structures, basis=f"the segmenter {source}")


def _run(known: Found, arguments: Sequence[str], work: Path, how: tuple[Progress, tuple[float, float], float]) -> None:
    """One call of the tool, with its last line as progress; ended with all that it started on timeout or interrupt."""
    tell, span, timeout = how
    logs = work / "stdout.log", work / "stderr.log"
    with logs[0].open("wb") as out, logs[1].open("wb") as err:
        try:
            process = subprocess.Popen(
                [*known.words, *arguments], stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=work,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise SegmenterFailed(f"{known.tool.title} could not be started: {error.strerror or error}") from error
        start = time.monotonic()
        try:
            while process.poll() is None:
                passed = time.monotonic() - start
                if passed > timeout:
                    raise SegmenterFailed(f"{known.tool.title} was ended after {timeout:.0f} s without a result")
                share = passed / (passed + EXPECTED_S)
                text = f"{known.tool.title} {known.version} is running, {passed:.0f} s: {_last_line(*logs)[:60]}"
                tell(text.rstrip(": "), span[0] + share * (span[1] - span[0]))
                time.sleep(min(POLL_S, timeout))
        finally:
            _end(process)
    if process.returncode:
        said = _last_line(logs[1]) or _last_line(logs[0]) or "it said nothing"
        raise SegmenterFailed(f"{known.tool.title} failed with exit status {process.returncode}: {said[:300]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and everything that it started, where it still runs."""
    if process.poll() is not None:
        return
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except (ProcessLookupError, PermissionError):
            process.kill()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            continue
        return


def _last_line(*logs: Path) -> str:
    """The last line with words in the newest of `logs`, of its last four kilobytes."""
    newest = max(logs, key=lambda log: (log.stat().st_mtime, log.stat().st_size))
    with newest.open("rb") as stream:
        stream.seek(max(0, newest.stat().st_size - 4096))
        text = stream.read().decode("utf-8", "replace").replace("\r", "\n")
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
