package runtime

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func usageTree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, link := strings.CutPrefix(text, "->"); link {
			if err := os.Symlink(target, p); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// Both versions of cgroups tell the same, in other files.
func TestUsage(t *testing.T) {
	common := map[string]string{"proc/meminfo": "MemTotal:       1000 kB\n", "proc/1/ns/net": "->net:[1]", "proc/7/ns/net": "->net:[2]",
		"proc/7/net/dev": "Inter-|   Receive  |  Transmit\n face |bytes packets\n    lo:  99 1 0 0 0 0 0 0  99 1 0 0 0 0 0 0\n  eth0: 100 1 0 0 0 0 0 0 200 2 0 0 0 0 0 0\n eth1:1 1 0 0 0 0 0 0 2 2 0 0 0 0 0 0\n"}
	one := map[string]string{"proc/7/cgroup": "4:memory:/h/a\n3:cpu,cpuacct:/h/a\n2:blkio:/h/a\n1:pids:/h/a\n0::/\n",
		"sys/fs/cgroup/cpu,cpuacct/h/a/cpuacct.usage": "1500000000\n", "sys/fs/cgroup/memory/h/a/memory.usage_in_bytes": "5000\n",
		"sys/fs/cgroup/memory/h/a/memory.stat": "inactive_file 1\ntotal_inactive_file 1000\n", "sys/fs/cgroup/memory/h/a/memory.limit_in_bytes": "9223372036854771712\n",
		"sys/fs/cgroup/blkio/h/a/blkio.throttle.io_service_bytes": "8:0 Read 10\n8:0 Write 20\n8:16 Read 1\n8:0 Total 31\nTotal 31\n", "sys/fs/cgroup/pids/h/a/pids.current": "3\n"}
	two := map[string]string{"proc/7/cgroup": "0::/h/a\n", "sys/fs/cgroup/h/a/cpu.stat": "usage_usec 1500000\nuser_usec 1\n", "sys/fs/cgroup/h/a/memory.current": "5000\n",
		"sys/fs/cgroup/h/a/memory.stat": "anon 5\ninactive_file 1000\n", "sys/fs/cgroup/h/a/memory.max": "max\n",
		"sys/fs/cgroup/h/a/io.stat": "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=0\n", "sys/fs/cgroup/h/a/pids.current": "3\n"}
	want := Usage{CPU: 1500 * time.Millisecond, Memory: 4000, MemoryLimit: 1000 << 10, NetRx: 101, NetTx: 202, BlockRead: 11, BlockWrite: 20, PIDs: 3}
	for name, files := range map[string]map[string]string{"version 1": one, "version 2": two} {
		all := map[string]string{}
		for _, some := range []map[string]string{common, files} {
			for k, v := range some {
				all[k] = v
			}
		}
		if got, err := UsageOf(usageTree(t, all), 7); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	limited := map[string]string{"proc/7/cgroup": "0::/h/a\n", "sys/fs/cgroup/h/a/memory.max": "4096\n", "proc/meminfo": "MemTotal: 1000 kB\n",
		"proc/1/ns/net": "->net:[1]", "proc/7/ns/net": "->net:[1]"}
	unknown := Usage{CPU: -1, Memory: -1, MemoryLimit: 4096, NetRx: -1, NetTx: -1, BlockRead: -1, BlockWrite: -1, PIDs: -1}
	if got, err := UsageOf(usageTree(t, limited), 7); err != nil || got != unknown {
		t.Errorf("nothing is counted, the host's network: %+v, %v", got, err)
	}
	if _, err := UsageOf(t.TempDir(), 7); err == nil || !strings.Contains(err.Error(), "process 7") {
		t.Errorf("a process that is gone: %v", err)
	}
}

// This machine's own counters are read, whichever version it has.
func TestUsageOfThisProcess(t *testing.T) {
	u, err := UsageOf("/", os.Getpid())
	if err != nil || u.MemoryLimit <= 0 || u.NetRx != -1 {
		t.Errorf("process %s: %+v, %v", strconv.Itoa(os.Getpid()), u, err)
	}
}
