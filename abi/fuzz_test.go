package abi

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// tinyELF is a valid 64-bit header with one loadable and one dynamic segment that overlap it.
func tinyELF() []byte {
	b := make([]byte, 512)
	copy(b, "\x7fELF\x02\x01\x01")
	b[16], b[18], b[20] = 3, 62, 1
	b[32], b[54], b[56] = 64, 56, 2
	copy(b[64:], "\x01\x00\x00\x00\x04\x00\x00\x00")
	b[64+32], b[64+33] = 0x00, 0x02 // filesz
	copy(b[120:], "\x02\x00\x00\x00\x06\x00\x00\x00")
	b[120+8], b[120+9], b[120+32] = 0x00, 0x01, 0x80
	for i, entry := range [][2]byte{{dtStrtab, 0x80}, {dtStrsz, 0x10}, {dtSymtab, 0x90}, {dtHash, 0xA0}, {dtNeeded, 1}} {
		b[256+16*i], b[256+16*i+8] = entry[0], entry[1]
	}
	return b
}

func FuzzDetectELF(f *testing.F) {
	f.Add(tinyELF())
	f.Add([]byte("\x7fELF"))
	f.Add([]byte("#!/bin/sh\n"))
	huge := tinyELF()
	copy(huge[120+32:], "\xff\xff\xff\xff\xff\xff\xff\xff")
	f.Add(huge)
	many := tinyELF()
	many[56], many[57] = 0xff, 0xff
	f.Add(many)
	if exe, err := os.Executable(); err == nil {
		if b, err := os.ReadFile(exe); err == nil {
			f.Add(b[:min(len(b), 4096)])
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := readObject(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		c, err := readCode(o, "fuzz")
		if err == nil && len(c.builtins) > len(b)+len(alwaysBuiltin) {
			t.Errorf("%d modules from %d bytes", len(c.builtins), len(b))
		}
		for _, v := range o.versions() {
			if len(v) > len(b) {
				t.Error("a version longer than the file")
			}
		}
		for _, s := range suffixTable(o) {
			if !anySuffix.MatchString(s) {
				t.Errorf("suffix %q", s)
			}
		}
		_, _ = versionString(o, Version{Major: 3, Minor: 9, Micro: -1})
		o.hasConstant("/usr")
	})
}

func FuzzSysconfig(f *testing.F) {
	f.Add("# comment\nbuild_time_vars = {'ABIFLAGS': 't',\n 'A': 'b' \"c\"\n 'd',\n 'N': -1, 'F': 1.5,\n 'E': 'it\\'s'}\n")
	f.Add("build_time_vars = {}")
	f.Add("build_time_vars = {'a': {'b': 1}}")
	f.Add("build_time_vars = {'a'")
	f.Add("from x import y as build_time_vars")
	f.Fuzz(func(t *testing.T, text string) {
		vars, err := parseSysconfig(text)
		if (vars == nil) == (err == nil) {
			t.Errorf("%q: %v, %v", text, vars, err)
		}
		for k, v := range vars {
			if len(k)+len(v) > 2*len(text) {
				t.Errorf("%q: a value longer than the text", text)
			}
		}
	})
}

func FuzzPyvenvCfg(f *testing.F) {
	f.Add("home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n")
	f.Add("HOME=/x\r\nhome=/y")
	f.Add("home = relative\n")
	f.Add("=\n==\n")
	f.Fuzz(func(t *testing.T, text string) {
		v, ok := parseVenv(text)
		if ok != strings.HasPrefix(v.Home, "/") || strings.Contains(v.Home, "\n") {
			t.Errorf("%q: %+v, %t", text, v, ok)
		}
	})
}

func FuzzBuildDetails(f *testing.F) {
	f.Add([]byte(`{"implementation":{"hexversion":51251952},"abi":{"flags":["t","d"]},"suffixes":{"extensions":[".a.so",".so"]}}`))
	f.Add([]byte(`{"abi":{"extension_suffix":".cpython-314-x86_64-linux-gnu.so"}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := parseBuildDetails(b)
		if (d == nil) == (err == nil) {
			t.Errorf("%q: %v, %v", b, d, err)
		}
		_ = d.suffixes()
	})
}

func FuzzShim(f *testing.F) {
	f.Add("exec \"/root/.pyenv/libexec/pyenv\" exec \"$program\" \"$@\"\nexport PYENV_ROOT=\"/root/.pyenv\"", "3.11 # x\nsystem\n")
	f.Add("export PYENV_ROOT=\"", "")
	f.Fuzz(func(t *testing.T, script, words string) {
		if root := shimRoot(script); strings.Contains(root, "\"") {
			t.Errorf("root %q", root)
		}
		for _, w := range versionWords(words) {
			if strings.ContainsAny(w, " \t\n#") {
				t.Errorf("word %q", w)
			}
		}
	})
}
