package integration

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"hostrun.dev/hostrun/integration/image/archive"
)

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// tiny is an image with busybox and the given files.
func tiny(t *testing.T, ref string, files ...archive.File) archive.Image {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		skip(t, "there is no /bin/busybox: apt-get install busybox-static")
	}
	base := []archive.File{{Path: "/bin/busybox", Mode: 0o755, Content: busybox}, {Path: "/etc/passwd", Mode: 0o644, Content: []byte("root:x:0:0:root:/root:/bin/sh\n")}}
	for _, name := range []string{"sh", "sleep", "true", "false", "echo", "cat", "ls", "trap"} {
		base = append(base, archive.File{Path: "/bin/" + name, Mode: fs.ModeSymlink, Content: []byte("busybox")})
	}
	for _, dir := range []string{"/tmp", "/root", "/proc", "/sys", "/dev"} {
		base = append(base, archive.File{Path: dir, Mode: fs.ModeDir | 0o755})
	}
	return archive.Image{
		Ref: ref, Architecture: runtime.GOARCH,
		Config: v1.ImageConfig{Env: []string{defaultPath}, Cmd: []string{"sleep", "1000"}},
		Layers: []archive.Layer{{Files: append(base, files...)}},
	}
}

var slimRoot struct {
	once sync.Once
	tar  string
	err  error
}

// slim is an image of this machine's own release with its real Python.
func slim(t *testing.T, ref string, files ...archive.File) archive.Image {
	t.Helper()
	slimRoot.once.Do(func() {
		cmd := exec.Command("image/debian.sh")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		slimRoot.tar, slimRoot.err = strings.TrimSpace(string(out)), err
	})
	if slimRoot.err != nil {
		skip(t, "integration/image/debian.sh built no root: %v", slimRoot.err)
	}
	return archive.Image{
		Ref: ref, Architecture: runtime.GOARCH,
		Config: v1.ImageConfig{Env: []string{defaultPath}, Cmd: []string{"python3", "-c", "import time; time.sleep(1000)"}},
		Layers: []archive.Layer{{Tar: slimRoot.tar}, {Files: append(files, archive.File{Path: "/workspace", Mode: fs.ModeDir | 0o755})}},
	}
}

// A hostPython is the distribution's interpreter.
type hostPython struct {
	binary string // without links
	minor  int
	data   string // its sysconfig data file
}

func thePython(t *testing.T) hostPython {
	t.Helper()
	out, err := exec.Command("/usr/bin/python3", "-I", "-c",
		"import sys, sysconfig, os; print(os.path.realpath(sys.executable), sys.version_info[1], sysconfig._get_sysconfigdata_name())").Output()
	words := strings.Fields(string(out))
	if err != nil || len(words) != 3 {
		skip(t, "/usr/bin/python3 does not answer: %v %q", err, out)
	}
	minor, err := strconv.Atoi(words[1])
	if err != nil {
		t.Fatal(err)
	}
	return hostPython{binary: words[0], minor: minor, data: fmt.Sprintf("/usr/lib/python3.%d/%s.py", minor, words[2])}
}

// other returns the files of a Python like p of another minor version below prefix: p's own binary and build data with
// each mark of the version rewritten. It can be read, as hostrun does; nobody runs it.
func (p hostPython) other(t *testing.T, prefix string, minor int) []archive.File {
	t.Helper()
	binary := p.rewritten(t, p.binary, minor)
	setVersion(t, binary, p.binary, minor)
	name := fmt.Sprintf("python3.%d", minor)
	lib := filepath.Join(prefix, "lib", name)
	return []archive.File{
		{Path: filepath.Join(prefix, "bin", name), Mode: 0o755, Content: binary},
		{Path: filepath.Join(prefix, "bin/python3"), Mode: fs.ModeSymlink, Content: []byte(name)},
		{Path: filepath.Join(lib, "os.py"), Mode: 0o644, Content: []byte("# os\n")},
		{Path: filepath.Join(lib, "site.py"), Mode: 0o644, Content: p.rewritten(t, fmt.Sprintf("/usr/lib/python3.%d/site.py", p.minor), minor)},
		{Path: filepath.Join(lib, "lib-dynload"), Mode: fs.ModeDir | 0o755},
		{Path: filepath.Join(lib, filepath.Base(p.data)), Mode: 0o644, Content: p.rewritten(t, p.data, minor)},
	}
}

// rewritten reads a file and renames 3.11 and 311 in it, where they stand for Python's version.
func (p hostPython) rewritten(t *testing.T, file string, minor int) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(strconv.Itoa(minor)) != len(strconv.Itoa(p.minor)) {
		t.Fatalf("3.%d and 3.%d are of different lengths: offsets would move", p.minor, minor)
	}
	for _, before := range []string{"python", "\x00", "'", "/"} { // where "3.11" is Python's version, and no other number
		b = bytes.ReplaceAll(b, []byte(fmt.Sprintf("%s3.%d", before, p.minor)), []byte(fmt.Sprintf("%s3.%d", before, minor)))
	}
	return bytes.ReplaceAll(b, []byte(fmt.Sprintf("cpython-3%d", p.minor)), []byte(fmt.Sprintf("cpython-3%d", minor)))
}

// setVersion writes minor into Py_Version and _PyRuntime, where the interpreter's code keeps its version in binary.
func setVersion(t *testing.T, binaryFile []byte, original string, minor int) {
	t.Helper()
	f, err := elf.Open(original)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, symbol := range symbols {
		at, ok := fileOffset(f, symbol.Value)
		switch {
		case !ok:
		case symbol.Name == "Py_Version":
			setMinor(binaryFile[at:], minor)
		case symbol.Name == "_PyRuntime" && string(binaryFile[at:at+8]) == "xdebugpy":
			setMinor(binaryFile[at+8:], minor)
		}
	}
}

// setMinor changes the second byte from the top of a PY_VERSION_HEX: 0x030b02f0 is 3.11.2 final.
func setMinor(b []byte, minor int) {
	v := binary.LittleEndian.Uint32(b)
	binary.LittleEndian.PutUint32(b, v&^0x00ff0000|uint32(minor)<<16)
}

func fileOffset(f *elf.File, address uint64) (uint64, bool) {
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && address >= p.Vaddr && address < p.Vaddr+p.Filesz {
			return address - p.Vaddr + p.Off, true
		}
	}
	return 0, false
}

// musl turns a glibc program into one that asks for musl's loader, by its name in PT_INTERP.
func musl(t *testing.T, files []archive.File) []archive.File {
	t.Helper()
	for i, f := range files {
		files[i].Content = regexp.MustCompile(`/lib(64)?/ld-linux[a-z0-9.-]*\.so\.\d\x00`).ReplaceAllFunc(f.Content, func(old []byte) []byte {
			name := "/lib/ld-musl-x86_64.so.1"
			if runtime.GOARCH == "arm64" {
				name = "/lib/ld-musl-aarch64.so.1"
			}
			return append([]byte(name), make([]byte, max(0, len(old)-len(name)))...)[:len(old)]
		})
	}
	return append(files, archive.File{Path: "/etc/alpine-release", Mode: 0o644, Content: []byte("3.22.0\n")})
}

// venv makes an environment of the distribution's Python with one small package, without pip, and returns its directory.
func venv(t *testing.T, s *stage, name string) string {
	t.Helper()
	dir := s.path(name)
	if out, err := exec.Command("/usr/bin/python3", "-m", "venv", "--without-pip", dir).CombinedOutput(); err != nil {
		skip(t, "/usr/bin/python3 -m venv: %v\n%s", err, out)
	}
	site := s.sitePackages(name)
	for file, content := range map[string]string{
		"borrowed/__init__.py":                 "answer = 42\n",
		"borrowed-1.0.dist-info/METADATA":      "Metadata-Version: 2.1\nName: borrowed\nVersion: 1.0\n",
		"borrowed-1.0.dist-info/INSTALLER":     "pip\n",
		"borrowed-1.0.dist-info/RECORD":        "borrowed/__init__.py,,\nborrowed-1.0.dist-info/METADATA,,\nborrowed-1.0.dist-info/INSTALLER,,\nborrowed-1.0.dist-info/RECORD,,\n",
		"borrowed-1.0.dist-info/top_level.txt": "borrowed\n",
	} {
		s.write(filepath.Join(site, file), content)
	}
	return dir
}

// sitePackages returns the environment's site directory, relative to the stage.
func (s *stage) sitePackages(name string) string {
	return fmt.Sprintf("%s/lib/python3.%d/site-packages", name, thePython(s.t).minor)
}
