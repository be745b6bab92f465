package integration

import (
	"path/filepath"
	"testing"

	"hostrun.dev/hostrun/integration/image/archive"
)

// TestVolumesOfTheImage: what an image has at its VOLUME, or below a new volume, is in the volume; one without a name outlives a
// replacement, and ends with down.
func TestVolumesOfTheImage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	img := tiny(t, "job", archive.File{Path: "/data/of-the-image", Mode: 0o640, UID: 70, GID: 70, Content: []byte("from the image\n")})
	img.Config.Volumes = map[string]struct{}{"/data": {}}
	s.load(img)
	before := s.inventory()
	has := func(dir, want string) {
		t.Helper()
		if got := s.must("exec", "job", "--", "ls", dir); got != want {
			t.Errorf("%s has %q, want %q", dir, got, want)
		}
	}
	up := func(more ...string) {
		t.Helper()
		s.must(plain(s, append([]string{"command: [sleep, '1000']", "stop_signal: SIGKILL", "read_only: true"}, more...)...)...)
	}
	up()
	has("/data", "of-the-image\n")
	if got := s.must("exec", "job", "--", "busybox", "stat", "-c", "%u:%g %a", "/data/of-the-image"); got != "70:70 640\n" {
		t.Errorf("the copy is %s", got)
	}
	s.must("exec", "job", "--", "busybox", "touch", "/data/new")
	up("environment: {A: b}")
	has("/data", "new\nof-the-image\n")
	s.must(append(plain(s, "command: [sleep, '1000']", "stop_signal: SIGKILL", "read_only: true", "environment: {A: c}"), "--renew-anon-volumes")...)
	has("/data", "of-the-image\n")
	s.must("down", "job")
	up()
	has("/data", "of-the-image\n")
	s.must("down", "job")
	if got := s.must("run", "job", "--", "sh", "-c", "busybox touch /data/run; ls /data"); got != "of-the-image\nrun\n" {
		t.Errorf("of run: %q", got)
	}
	up(`volumes: ["kept:/data", "bare:/data2:nocopy"]`)
	has("/data", "of-the-image\n")
	s.must("exec", "job", "--", "busybox", "rm", "/data/of-the-image")
	s.must("exec", "job", "--", "busybox", "touch", "/data/mine")
	s.must("restart", "job")
	has("/data", "mine\n")
	s.must("down", "-v", "-y", "job")
	s.nothingLeft(before)
	left, err := filepath.Glob(filepath.Join(s.path("data", "anonymous"), "*", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("volumes are left: %v, %v", left, err)
	}
}
