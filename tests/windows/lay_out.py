"""A Windows CPython for Wine, laid out from packages of PyPI and Debian.

Needs wine64 and the compiler x86_64-w64-mingw32-gcc, and a CPython 3.11, whose pure Python part it
copies. It stays in the user's cache until what goes into it changes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PROJECT = Path(__file__).parents[2]
LOCK = PROJECT / ".ci/windows.txt"
COMPILER = "x86_64-w64-mingw32-gcc"
LOADER = Path("/usr/lib/wine/wine64")

# Of panda3d's folder deploy_libs; the rest of its libraries are extension modules and what they load.
BESIDE_THE_PROGRAM = ("python311.dll", "vcruntime140.dll")
NOT_NEEDED = ("_tkinter", "api-ms-", "tcl86", "tk86")
NOT_OF_WINDOWS = (
    "__pycache__",
    "config-3*",
    "idlelib",
    "lib-dynload",
    "site-packages",
    "test",
    "tkinter",
)

PROGRAM = """
#include <windows.h>
int wmain(int argc, wchar_t **argv)
{
    HMODULE python = LoadLibraryW(L"python311.dll");
    int (*run)(int, wchar_t **) = python ? (void *)GetProcAddress(python, "Py_Main") : NULL;
    return run ? run(argc, argv) : 103;
}
"""
# Rust's standard library loads it; Wine has it from 9.0 on.
RANDOM = """
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size)
{
    for (; size > 0x10000; data += 0x10000, size -= 0x10000)
        if (!SystemFunction036(data, 0x10000)) return FALSE;
    return SystemFunction036(data, (ULONG)size);
}
"""


def laid_out() -> Path:
    """Return the folder with the Python, which is made if what goes into it has changed.

    Exits with what is missing for that.
    """
    require_tools()
    key = hashlib.sha256(LOCK.read_bytes() + Path(__file__).read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "m2m-windows-tests" / key
    if (place / "complete").exists():
        return place
    shutil.rmtree(place, ignore_errors=True)
    (place / "python").mkdir(parents=True)
    lay_out_python(place)
    install(place / "python/Lib/site-packages", "--requirement", str(LOCK))
    subprocess.run(
        [LOADER, "wineboot", "-i"], env=environment(place), check=True, stdout=subprocess.DEVNULL
    )
    (place / "complete").touch()
    return place


def require_tools() -> None:
    if not LOADER.exists() or not shutil.which(COMPILER):
        sys.exit("Install Debian's packages wine64 and gcc-mingw-w64-x86-64-win32.")
    if sys.version_info[:2] != (3, 11):
        sys.exit("This has to run on Python 3.11, whose standard library goes with panda3d's DLLs.")


def lay_out_python(place: Path) -> None:
    target, parts = place / "python", place / "parts"
    line = next(line for line in LOCK.read_text().splitlines() if line.startswith("panda3d=="))
    install(parts, "--no-deps", line.split()[0])
    (target / "DLLs").mkdir()
    for library in (parts / "deploy_libs").iterdir():
        name = library.name.lower()
        if name in BESIDE_THE_PROGRAM:
            shutil.copy(library, target / name)
        elif name.endswith((".dll", ".pyd")) and not name.startswith(NOT_NEEDED):
            shutil.copy(library, target / "DLLs" / library.name)
    shutil.copytree(
        sysconfig.get_path("stdlib"), target / "Lib", ignore=shutil.ignore_patterns(*NOT_OF_WINDOWS)
    )
    compile_to(target / "python.exe", PROGRAM, "-municode", "-mconsole")
    compile_to(target / "bcryptprimitives.dll", RANDOM, "-shared", libraries=("-ladvapi32",))
    (place / "python3.def").write_text(forwarder(target / "python311.dll"))
    compile_to(
        *(target / "python3.dll", "", "-shared", "-nostdlib", "-e", "0"),
        libraries=(str(place / "python3.def"),),
    )
    shutil.rmtree(parts)


def forwarder(python_dll: Path) -> str:
    """Return the definition of python3.dll, which extension modules of the stable ABI load."""
    dump = COMPILER.replace("gcc", "objdump")
    shown = subprocess.run([dump, "-p", python_dll], check=True, capture_output=True, text=True)
    table = shown.stdout.partition("[Ordinal/Name Pointer] Table")[2]
    names = [line.split()[-1] for line in table.splitlines() if line.strip().startswith("[")]
    lines = [f"  {name} = python311.{name}" for name in names if name.startswith(("Py", "_Py"))]
    return "\n".join(["LIBRARY python3.dll", "EXPORTS", *lines, ""])


def compile_to(target: Path, source: str, *flags: str, libraries: tuple[str, ...] = ()) -> None:
    code = target.with_name("source.c")
    code.write_text(source)
    subprocess.run([COMPILER, *flags, "-O2", "-s", "-o", target, code, *libraries], check=True)
    code.unlink()


def install(folder: Path, *what: str) -> None:
    """Unlike pip, uv asks the target whether a requirement's marker holds."""
    subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", folder),
            *("--python-platform", "windows", "--python-version", "3.11"),
            *("--only-binary", ":all:", *what),
        ],
        check=True,
    )


def environment(place: Path) -> dict[str, str]:
    return {
        **os.environ,
        "WINEPREFIX": str(place / "prefix"),
        "WINEARCH": "win64",
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree=;mshtml=",
        "PYTHONHOME": windows_path(place / "python"),
        "PYTHONPATH": f"{windows_path(PROJECT)};{windows_path(PROJECT / 'tests')}",
        "PYTHONPYCACHEPREFIX": windows_path(place / "bytecode"),
        "PYTHONUTF8": "1",
    }


def windows_path(path: Path) -> str:
    return "Z:" + str(path).replace("/", "\\")
