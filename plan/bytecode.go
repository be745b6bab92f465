package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/finding"
)

// worthCompiling is how many sources the host's packages have at least before they get a place for compiled ones: below
// it Python compiles them in no time.
const worthCompiling = 300

// setBytecode lets Python keep compiled modules in a directory of the profile's own, where most of the host's packages
// have none that this Python takes. Otherwise none are written: the packages are read-only. The prefix makes Python pass over
// every __pycache__ directory (PEP 304's successor, sys.pycache_prefix since 3.8), so it must not be set without need.
func (b *builder) setBytecode(image *abi.Python, root string) {
	have := b.f.Host.Python.Bytecode
	_, own := lookup(b.p.Environment, "PYTHONPYCACHEPREFIX")
	_, never := lookup(b.p.Environment, "PYTHONDONTWRITEBYTECODE")
	if have.Sources < worthCompiling || have.Usable*2 > have.Sources || own || never || image.Version.Major != 3 || image.Version.Minor < 8 {
		return
	}
	dir := Directory{Path: path.Join("/", b.f.Engine.DataDir, "pycache", b.p.Name+"-"+b.bytecodeKey(image)), Mode: 0o700, UID: b.user.uid, GID: b.user.gid}
	destination := path.Join(root, "pycache")
	b.addDirectory(dir)
	b.mounts = append(b.mounts, mount{Mount: bind(dir.Path, destination, "nosuid", "nodev", "noexec"), origin: "hostrun", key: "python"})
	b.env.unset("PYTHONDONTWRITEBYTECODE")
	b.env.set("PYTHONPYCACHEPREFIX", destination, "hostrun")
	b.report("python", finding.Finding{
		ID: finding.BytecodeApart, Severity: finding.Info, Subject: b.f.Host.Python.Executable,
		Got: fmt.Sprintf("about %d of %d modules with a .pyc file that fits", have.Usable, have.Sources), Want: have.Tag + " files as new as their sources",
		Message: "the host's packages have few compiled modules that Python would take: the container keeps its own in " + dir.Path,
		Remedy:  b.f.Host.Python.Executable + " -m compileall -q " + b.firstSite() + " compiles them once for all",
	})
}

// bytecodeKey tells environments, Pythons and users apart: nobody runs what another one has compiled.
func (b *builder) bytecodeKey(image *abi.Python) string {
	text := strings.Join([]string{b.f.Host.Python.Executable, image.Executable, image.Version.String(), image.SOABI, b.f.Engine.Namespace,
		fmt.Sprint(b.user.uid, b.user.gid)}, "\x00")
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}

func (b *builder) firstSite() string {
	for _, s := range b.f.Host.Python.Sites {
		return shellQuote(s.Path)
	}
	return ""
}
