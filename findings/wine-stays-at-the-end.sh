#!/usr/bin/env bash
# Wine's C runtime reads nothing more from a file once it was at its end, whatever is added.
#
# Guess:  a descriptor at the end of a file reads what is appended later, as `tail -f` does everywhere; so do ReadFile
#         of the same Wine on the same handle, and POSIX's read().
# Seen:   Wine 8.0: _read() returns 0 for ever, until _lseek() is called, even to where it is already.
# Why it matters: `logs --follow` shows no line under Wine, and tests of it fail there without a fault of the program.
#
# Needs a Debian 12 with wine64 and gcc-mingw-w64-x86-64-win32. Writes to a temporary folder only.
set -euo pipefail

folder=$(mktemp -d)
export WINEPREFIX="$folder/prefix" WINEARCH=win64 WINEDEBUG=-all WINEDLLOVERRIDES='mscoree=;mshtml='
trap '/usr/lib/wine/wineserver -k || true; rm -rf "$folder"' EXIT
cd "$folder"
cat >read.c <<'C'
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <windows.h>

static void append(const char *text)
{
    int more = _open("file", _O_WRONLY | _O_APPEND | _O_BINARY);
    _write(more, text, 4);
    _close(more);
}

int main(void)
{
    char data[9];
    DWORD got;
    _close(_open("file", _O_CREAT | _O_WRONLY, 0600));
    int file = _open("file", _O_RDONLY | _O_BINARY);
    int first = _read(file, data, 4);
    append("more");
    int second = _read(file, data, 4);
    _lseek(file, 0, SEEK_CUR);
    int third = _read(file, data, 4);
    int fourth = _read(file, data, 4);
    append("last");
    int fifth = _read(file, data, 4);
    ReadFile((HANDLE)_get_osfhandle(file), data, 4, &got, NULL);
    printf("empty %d, appended %d, after a seek %d, end %d, appended %d, ReadFile %lu\n",
           first, second, third, fourth, fifth, got);
    return 0;
}
C
x86_64-w64-mingw32-gcc -o read.exe read.c
/usr/lib/wine/wine64 wineboot -i >/dev/null 2>&1 </dev/null
/usr/lib/wine/wine64 read.exe 2>/dev/null </dev/null | tr -d '\r' | tee said
grep -qx "empty 0, appended 0, after a seek 4, end 0, appended 0, ReadFile 4" said
