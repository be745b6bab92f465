package runtime

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// probePatience is how long the devices of a container may take to answer. A GPU that has fallen off the bus never does.
const probePatience = 20 * time.Second

// probeLibraries follows the container's loader over the files that are there now: not those of a plan, but with every mount in its
// place. Nothing is executed: a loader of the image's would run outside of what confines the container.
func probeLibraries(id string, spec *specs.Spec, what devices.Probe, pid uint32) error {
	if len(what.Load) == 0 || what.Loader == "" {
		return nil
	}
	o := ld.Options{WorkingDirectory: spec.Process.Cwd}
	if list := envOf(spec.Process.Env, "LD_LIBRARY_PATH"); list != "" {
		o.LibraryPath = strings.FieldsFunc(list, func(r rune) bool { return r == ':' || r == ';' })
	}
	system, err := ld.NewSystem(rootfs.Dir(fmt.Sprintf("/proc/%d/root", pid)), what.Loader, o)
	if err != nil {
		return probeError(finding.DriverUnloadable, id, err, "take the volume away that covers the image's loader")
	}
	defer system.Close()
	for _, name := range what.Load {
		if fault := loadFault(system, name); fault != "" {
			return probeError(finding.DriverUnloadable, id, errors.New(fault),
				"hostrun spec "+id+" shows what is bound where: a volume over a library directory hides it, or the driver has just been changed: then hostrun up again")
		}
	}
	return nil
}

// loadFault is the loader's word for why a library can't be loaded; "" where it can.
func loadFault(s *ld.System, name string) string {
	objects, fault := s.Closure(name)
	if fault != "" {
		return fault
	}
	for _, o := range objects {
		v, readable := s.Versions(o.Path)
		if !readable {
			continue
		}
		for _, need := range v.Needs {
			at := slices.IndexFunc(objects, func(p ld.Object) bool { return p.Soname == need.Library || p.Name == need.Library })
			if at < 0 {
				continue // the loader's own
			}
			if have, readable := s.Versions(objects[at].Path); readable && !slices.Contains(have.Defines, need.Version) {
				return fmt.Sprintf("%s: version `%s' not found (required by %s)", objects[at].Path, need.Version, o.Path)
			}
		}
	}
	return ""
}

// envOf is the value of a variable; of several the last one counts.
func envOf(env []string, name string) (value string) {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v
		}
	}
	return value
}

func probeError(id, container string, err error, remedy string) error {
	return finding.Errorf(finding.Explain(id).ExitStatus, remedy+"\nhostrun explain "+id, "container %s is not started: %w", container, err)
}
