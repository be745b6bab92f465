package imports

import "strings"

// standsIn lists what the standard library does where a module of its own is missing that CPython has on every system: distributions
// that split it (Debian's python3-minimal) patch such handlers in, and few have ever run. Modules for one system alone, and
// those in C, have handlers of CPython's own.
func (p *process) standsIn(st *statement, fail *failure, f frame) {
	lib := p.loader.finder.stdlib
	if fail.missing == nil || lib == "" || !strings.HasPrefix(f.spec.file, lib+"/") || strings.Contains(f.spec.file, "/site-packages/") || strings.Contains(f.spec.file, "/dist-packages/") {
		return
	}
	name := fail.missing.Name
	if top, _, _ := strings.Cut(name, "."); fail.missing.Stdlib && !strings.HasPrefix(top, "_") && !ofOneSystem[top] {
		p.skip("standin", f.spec.name, p.at(st, f), "handles the want of the standard library's "+name+" by code of its own, which is not followed but for its imports", f.level)
	}
}

// ofOneSystem are modules of the standard library that are not on each system, or not in each build (docs.python.org, "Availability").
var ofOneSystem = map[string]bool{"msvcrt": true, "nt": true, "winreg": true, "winsound": true, "posix": true, "pwd": true, "grp": true, "spwd": true, "fcntl": true, "termios": true, "resource": true,
	"syslog": true, "readline": true, "curses": true, "tkinter": true, "dbm": true, "zlib": true, "bz2": true, "lzma": true, "ssl": true, "sqlite3": true, "nis": true, "ossaudiodev": true, "crypt": true, "ctypes": true, "audioop": true}
