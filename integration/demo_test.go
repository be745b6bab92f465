package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/exectest"
	"hostrun.dev/hostrun/integration/fixture"
)

// TestDemoWhereNoPackageGivesARuntime: where apt has neither runc nor crun the demonstration builds runc from its source, and does not
// ask for the package again afterwards. It ended at the first, and then at the second place. The machine's runtimes are covered
// by layers in a mount namespace of the test's own; apt-get, make and hostrun write down that they were called.
func TestDemoWhereNoPackageGivesARuntime(t *testing.T) {
	if os.Geteuid() != 0 {
		fixture.Skip(t, "a mount namespace needs root")
	}
	top := t.TempDir()
	write := func(name, content string) {
		file := filepath.Join(top, name)
		ok(t, os.MkdirAll(filepath.Dir(file), 0o755))
		ok(t, exectest.WriteFile(file, []byte(content), 0o755))
	}
	for _, script := range []string{"setup.sh", "demo/demo.sh"} {
		b, err := os.ReadFile(script)
		ok(t, err)
		write("integration/"+script, string(b))
	}
	write("path/apt-get", "#!/bin/sh\necho apt-get \"$@\" >>$CALLS\ncase \"$*\" in *update*) ;; *) exit 100 ;; esac\n")
	write("path/make", "#!/bin/sh\necho make \"$3\" >>$CALLS\nmkdir -p $2/bin/oci && printf '#!/bin/sh\\necho runc version 0\\n' >$2/bin/oci/runc && chmod +x $2/bin/oci/runc\n")
	write("bin/hostrun", "#!/bin/sh\necho hostrun \"$@\" >>$CALLS\n[ \"$1\" != load ] || exit 3\n")
	calls := filepath.Join(top, "calls")
	// Without a Python the second list is not empty and apt-get ends it there, before anything is downloaded: what counts is what it is asked for.
	script := `set -e
mount -t tmpfs tmpfs /run
for file in $(type -ap runc crun | xargs -r -n 1 realpath | sort -u); do
	layer=/run/layer$file dir=$(dirname $file)
	mkdir -p $layer/upper $layer/work
	mount -t overlay overlay -o lowerdir=$dir,upperdir=$layer/upper,workdir=$layer/work $dir
	rm $file
done
hash -r
mount --bind /bin/false /usr/bin/python3
! command -v runc && ! command -v crun || exit 9
exec "$0"`
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "bash", "-c", script, filepath.Join(top, "integration/demo/demo.sh"))
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(top, "path")+":"+os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin", "CALLS="+calls, "HOSTRUN_CACHE="+filepath.Join(top, "cache"))
	out, err := cmd.CombinedOutput()
	b, _ := os.ReadFile(calls)
	made, rest, _ := strings.Cut(string(b), "make runc\n")
	if !strings.HasPrefix(made, "apt-get") || !strings.HasPrefix(rest, "hostrun run hello\n") || !strings.Contains(rest, "apt-get") || strings.Contains(rest, "runc") ||
		!strings.Contains(string(out), "no package gives crun or runc") || !strings.Contains(string(out), "built here") {
		t.Errorf("%v\n%s\n-- called:\n%s", err, out, b)
	}
}
