package integration

import (
	"os"
	"testing"
	"time"
)

// TestDevicesRestartHoldsItsOwnAlone: a restart held the lock of the whole kind until the process had ended and run again, and each other
// command that wanted devices of that kind waited for it, whatever it had said of waiting.
func TestDevicesRestartHoldsItsOwnAlone(t *testing.T) {
	s := newStage(t)
	kind := s.accelerators(2)
	before := s.inventory()
	must(t, os.Mkdir(s.path("shared"), 0o755))
	s.profile("slow", "rootfs: host\ncommand: [sh, -c, 'trap \"\" TERM; touch /shared/ready; until [ -e /shared/go ]; do sleep 0.05; done; rm /shared/go']\nstop_grace_period: 10m\n"+
		"volumes: ['"+s.path("shared")+":/shared']\ndevices: ["+kind+"=0]\n")
	s.job("other", "devices: ["+kind+"=1]\n")
	s.must("up", "slow")
	s.comes("the trap", func() error { _, err := os.Stat(s.path("shared/ready")); return err })
	restart := s.command("restart", "slow")
	must(t, restart.Start())
	ended := make(chan error, 1)
	go func() { ended <- restart.Wait() }()
	time.Sleep(500 * time.Millisecond)
	s.must("up", "other")
	select {
	case err := <-ended:
		t.Errorf("up waited for the restart of a container with another device, which ended: %v", err)
	default:
		s.write("shared/go", "")
		must(t, <-ended)
	}
	s.must("down", "--timeout=0", "slow", "other")
	s.nothingLeft(before)
}

// TestDevicesOneContainerdByTwoNames: where the machine's containerd was named by another way to its socket (/var/run is a link to /run),
// it was asked as a second one, and a container's own devices were another's.
func TestDevicesOneContainerdByTwoNames(t *testing.T) {
	s := newStage(t)
	kind := s.accelerators(1)
	before := s.inventory()
	must(t, os.Symlink(theatre.engine.address, s.path("again.sock")))
	s.env = append(s.env, "HOSTRUN_SYSTEM_ADDRESS="+s.path("again.sock"))
	s.job("one", "devices: ["+kind+"=0]\n")
	s.must("up", "one")
	if out := s.must("up", "one"); out != "one unchanged\n" {
		t.Errorf("up again: %s", out)
	}
	s.must("down", "one")
	s.nothingLeft(before)
}
