package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/integration/image/archive"
	entered "hostrun.dev/hostrun/integration/machine"
	"hostrun.dev/hostrun/plan"
)

// lender is a machine of this release with packages of the distribution that lean on its libraries, and a slim image
// that has none of them: job:latest.
func lender(t *testing.T) entered.Machine {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, "a machine is entered by root alone")
	}
	cmd := exec.Command("image/debian.sh", "python3-numpy", "python3-lxml", "python3-venv", "runc", "ca-certificates")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		skip(t, "integration/image/debian.sh built no root: %v", err)
	}
	state, err := os.MkdirTemp("/var/tmp", "hostrun-machine-") // on a disk: layers of containers lie in it
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(state)) })
	root := filepath.Join(state, "root")
	must(t, os.Mkdir(root, 0o755))
	if text, err := exec.Command("tar", "-C", root, "-xf", strings.TrimSpace(string(out)), "--exclude=./dev/*").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	theatre.once.Do(func() { theatre.err = openTheatre() })
	must(t, theatre.err)
	engine, err := enginePrograms()
	must(t, err)
	m, err := entered.New(root, state, engine, theatre.bin)
	must(t, err)
	f, err := os.Create(filepath.Join(m.Shared(), "job.tar"))
	must(t, err)
	must(t, archive.Write(f, slim(t, "job")))
	must(t, f.Close())
	if text, err := m.Run("hostrun load job.tar"); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return m
}

// environments are made on the machine: what package managers leave behind that leads out of the site directory.
const environmentsOfLender = `
set -e
python3 -m venv --without-pip --system-site-packages /srv/venv
site=$(echo /srv/venv/lib/python3*/site-packages)

# setuptools' editable installs: by a .pth line, and by a finder with a mapping (setuptools/command/editable_wheel.py)
mkdir -p /srv/code/plain /srv/code/mapped/src/mapped /home/ann/secret
echo 'import lined2; WORD = "lined"' >/srv/code/plain/lined.py
echo 'WORD = 2' >/srv/code/plain/lined2.py
echo /srv/code/plain >$site/__editable__.lined-1.pth
echo 'WORD = "mapped"' >/srv/code/mapped/src/mapped/__init__.py
cat >$site/__editable___mapped_1_finder.py <<'P'
import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from pathlib import Path
MAPPING: dict[str, str] = {'mapped': '/srv/code/mapped/src/mapped'}
NAMESPACES: dict[str, list[str]] = {}
class _EditableFinder:
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname in MAPPING:
            return spec_from_file_location(fullname, MAPPING[fullname] + '/__init__.py')
def install():
    if not any(finder == _EditableFinder for finder in sys.meta_path):
        sys.meta_path.append(_EditableFinder)
P
echo 'import __editable___mapped_1_finder; __editable___mapped_1_finder.install()' >$site/__editable__.mapped-1.pth
mkdir $site/mapped-1.dist-info
printf 'Metadata-Version: 2.1\nName: mapped\nVersion: 1\n' >$site/mapped-1.dist-info/METADATA
echo '{"dir_info": {"editable": true}, "url": "file:///srv/code/mapped"}' >$site/mapped-1.dist-info/direct_url.json

# uv with link mode symlink: every file is a link into a cache
for i in 1 2 3; do
	at=/root/.cache/uv/archive-v0/hash$i/linked$i
	mkdir -p $at/sub $site/linked$i/sub
	echo "from .sub import deep; WORD = deep.WORD" >$at/__init__.py
	echo "WORD = 'linked$i'" >$at/sub/deep.py
	touch $at/sub/__init__.py
	for f in __init__.py sub/__init__.py sub/deep.py; do ln -s $at/$f $site/linked$i/$f; done
done

# a package whose data is a link to the distribution's, as Debian makes them, and one that leads into a home
mkdir -p $site/data $site/homely /usr/share/hostrun-data
echo shared >/usr/share/hostrun-data/words.txt
ln -s /usr/share/hostrun-data $site/data/words
echo 'import os; WORD = open(os.path.join(os.path.dirname(__file__), "words/words.txt")).read().strip()' >$site/data/__init__.py
echo 'WORD = "secret"' >/home/ann/homely.py
ln -s /home/ann $site/homely/inner
touch $site/homely/__init__.py

# an interpreter in a tree of its own, as uv and conda have them
mkdir -p /srv/tree/bin /srv/tree/lib
cp "$(readlink -f /usr/bin/python3)" /srv/tree/bin/
ln -s "$(cd /srv/tree/bin && echo python3*)" /srv/tree/bin/python3
cp -a /usr/lib/python3.* /srv/tree/lib/
`

// TestTheHostLends: packages of the distribution, and what leads out of an environment, run in an image that has none of
// it, and check says so before.
func TestTheHostLends(t *testing.T) {
	t.Parallel()
	m := lender(t)
	if text, err := m.Run(environmentsOfLender); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	venv := "/srv/venv"
	jobs := []struct {
		entered.Job
		fits bool
		id   string // of a finding; "" for none that is asked for
		says string // the container
	}{
		{entered.Job{Name: "numpy", Code: "import numpy; print(numpy.dot([1., 2.], [3., 4.]))"}, true, finding.LibrariesLent, "11.0"},
		{entered.Job{Name: "lxml", Code: "from lxml import etree; print(etree.tostring(etree.XML('<a/>')))"}, true, finding.LibrariesLent, "b'<a/>'"},
		{entered.Job{Name: "none", Code: "import json; print('json')"}, true, "", "json"},
		{entered.Job{Name: "off", Code: "import numpy", Python: `{interpreter: /usr/bin/python3, borrow_libraries: "off"}`}, false, finding.NativeMissing, "libblas.so.3"},
		{entered.Job{Name: "covered", Code: "import numpy", More: "volumes: ['/srv/etc:/etc']\n"}, false, finding.CacheCovered, ""},
		{entered.Job{Name: "lined", Python: venv, Code: "import lined; print(lined.WORD)"}, true, "", "lined"},
		{entered.Job{Name: "mapped", Python: venv, Code: "import mapped; print(mapped.WORD)"}, true, "", "mapped"},
		{entered.Job{Name: "linked", Python: venv, Code: "import linked1, linked2, linked3; print(linked3.WORD)"}, true, "", "linked3"},
		{entered.Job{Name: "data", Python: venv, Code: "import data; print(data.WORD)"}, true, "", "shared"},
		{entered.Job{Name: "moved", Python: "{interpreter: /srv/tree/bin/python3, interpreter_from: host}",
			Code: "import sys, json, ctypes, multiprocessing; print(sys.prefix)"}, true, finding.InterpreterLent, "/srv/tree"},
		{entered.Job{Name: "whole", Python: "{interpreter: /usr/bin/python3, interpreter_from: host}",
			Code: "import sqlite3, ssl, numpy; print(sqlite3.connect(':memory:').execute('select 6*7').fetchone())"}, true, finding.StdlibLent, "42"},
		{entered.Job{Name: "homely", Python: venv, Code: "import homely.inner.homely"}, false, finding.PlaceNotLent, ""},
	}
	var all []entered.Job
	for _, j := range jobs {
		j.Image = "job"
		all = append(all, j.Job)
	}
	if text, err := m.Run("mkdir -p /srv/etc && cp -a /etc/. /srv/etc"); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	outcomes, err := m.Try(all...)
	must(t, err)
	for i, j := range jobs {
		o := outcomes[i]
		if (o.Check == 0) != j.fits || !o.Right() || !strings.Contains(o.Output, j.says) || j.id != "" && !strings.Contains(o.Report, j.id) {
			t.Errorf("%s: check ends with %d, the container with %d: %s\n%s", j.Name, o.Check, o.Run, o.Output, o.Report)
		}
	}
	t.Run("the report", func(t *testing.T) { reportOfLoans(t, outcomes[0].Report) })
	t.Run("what spec prints is what runs", func(t *testing.T) { specOfLoans(t, m) })
	t.Run("proved once", func(t *testing.T) { loansAreProvedOnce(t, m) })
}

// reportOfLoans: each library is named with its file and size, and none of them is glibc's.
func reportOfLoans(t *testing.T, report string) {
	var r struct{ Borrowed []plan.Borrowed }
	must(t, json.Unmarshal([]byte(report), &r))
	count := 0
	for _, b := range r.Borrowed {
		if b.Kind != plan.KindLibrary {
			continue
		}
		if count++; b.For != "numpy" || b.Bytes == 0 || !strings.HasPrefix(b.Destination, "/opt/hostrun/lib/usr/lib/") || path.Dir(b.Destination) != "/opt/hostrun/lib"+path.Dir(b.Source) {
			t.Errorf("%+v", b)
		}
	}
	if count < 3 {
		t.Errorf("%d libraries: %s", count, report)
	}
}

// specOfLoans: recorded facts replay to the same specification, and the container's record has it.
func specOfLoans(t *testing.T, m entered.Machine) {
	out, err := m.Run(`set -e
export HOSTRUN_NAMESPACE=specs
hostrun load job.tar >/dev/null
p="hostrun --profile-dir profiles"
$p spec numpy >spec1 2>/dev/null
$p facts numpy >facts 2>/dev/null
$p spec --facts facts numpy >spec2 2>/dev/null
cmp spec1 spec2
grep -c /etc/ld.so.cache spec1
$p check numpy 2>/dev/null | grep 'from the host, for numpy'
$p run numpy -- sh -c 'ls -l /etc/ld.so.cache; grep -ac /opt/hostrun/lib /etc/ld.so.cache; ldconfig 2>&1 || echo ldconfig ends with $?; python3 -c "import numpy"; echo path=$LD_LIBRARY_PATH' 2>&1
$p up numpy 2>/dev/null; $p up numpy 2>/dev/null
`)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"libraries, ", "ldconfig ends with 1", "path=\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
}

// loansAreProvedOnce: what is lent is in the cached proof, and another library on the host makes a new one.
func loansAreProvedOnce(t *testing.T, m entered.Machine) {
	out, err := m.Run(`set -e
p="hostrun --profile-dir profiles check --format {{.proof.cached}} numpy"
sleep 0.1; $p 2>/dev/null; $p 2>/dev/null
lib=$(readlink -f /usr/lib/*/libgfortran.so.5)
cp $lib $lib.new && mv $lib.new $lib
sleep 0.1; $p 2>/dev/null; $p 2>/dev/null
mv $lib $lib.gone
hostrun --profile-dir profiles check numpy >gone 2>&1 || echo ends with $?
grep HR100 gone
mv $lib.gone $lib
`)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if words := strings.Fields(out); len(words) < 4 || words[1] != "true" || words[2] != "false" || words[3] != "true" || !strings.Contains(out, "ends with 78") {
		t.Errorf("%s", out)
	}
}
