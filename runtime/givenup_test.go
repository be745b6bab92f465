package runtime

import (
	"os"
	"path/filepath"
	"testing"
)

// The parts that count of what runc 1.1 and crun 1.8 write.
const (
	runcState  = `{"id":"job","init_process_pid":4711,"init_process_start":1151984,"created":"2026-11-29T00:18:45Z","config":{"no_pivot_root":false,"labels":["a=b","bundle=/run/containerd/b/job"]}}`
	crunStatus = "{\n  \"pid\": 4712,\n  \"process-start-time\": 99,\n  \"cgroup-path\": \"/hostrun/job\",\n  \"bundle\": \"/run/containerd/b/job\",\n  \"systemd-cgroup\": false\n}\n"
)

// TestNoted: which process a container's first one is, as runc and as crun note it; what says less says nothing.
func TestNoted(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  noted
		ok    bool
	}{
		"runc":                   {files: map[string]string{"state.json": runcState}, want: noted{4711, 1151984, "/run/containerd/b/job"}, ok: true},
		"crun":                   {files: map[string]string{"status": crunStatus}, want: noted{4712, 99, "/run/containerd/b/job"}, ok: true},
		"made and not started":   {files: map[string]string{"state.json": runcState, "exec.fifo": ""}},
		"nothing":                {},
		"without a bundle":       {files: map[string]string{"state.json": `{"init_process_pid":4711,"init_process_start":1}`}},
		"without a time":         {files: map[string]string{"status": `{"pid":4712,"bundle":"/b"}`}},
		"the machine's own init": {files: map[string]string{"status": `{"pid":1,"process-start-time":9,"bundle":"/b"}`}},
		"cut off":                {files: map[string]string{"state.json": runcState[:40]}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, ok := readNoted(dir)
			if ok != c.ok || ok && got != c.want {
				t.Errorf("%+v, %t", got, ok)
			}
		})
	}
}

func FuzzNoted(f *testing.F) {
	f.Add([]byte(runcState))
	f.Add([]byte(crunStatus))
	f.Add([]byte(`{"pid":-1,"process-start-time":1,"bundle":"/b"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if n, ok := parseNoted(text); ok && (n.pid <= 1 || n.start == 0 || !filepath.IsAbs(n.bundle)) {
			t.Errorf("%+v", n)
		}
	})
}
