package plan_test

import (
	"time"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// pthAndEditable has .pth directories inside and outside of the site directory, one of them where the image has files of
// its own, and two editable installs, one of which can't keep its path.
func pthAndEditable() plan.Facts {
	h := venvHost(11)
	site := h.Sites[0].Path
	h.Sites[0].Pth = []host.PthFile{{Name: "extra.pth", Paths: []string{site + "/vendored", "/home/u/src/lib", "/usr/share/pylib", "/srv/code"}}}
	for _, p := range h.Sites[0].Pth[0].Paths {
		h.Sites = append(h.Sites, host.Site{Path: p, Real: p, Kind: "pth", Files: 3, Bytes: 1000})
	}
	h.Packages = append(h.Packages, host.Package{Name: "proj", Site: site, Editable: "/home/u/proj"}, host.Package{Name: "sys", Site: site, Editable: "/var/lib/sys"})
	f := borrowing(h)
	f.Image.Paths["/srv/code"] = plan.Path{Real: "/srv/code", Dir: true, Mode: 0o755, Entries: 7}
	for _, p := range []string{"/home/u/proj", "/var/lib/sys"} {
		f.Host.Findings = append(f.Host.Findings, finding.Finding{
			ID: finding.SitePathIgnored, Severity: finding.Warning, Subject: p, Message: "its source " + p + " is not mounted, and the import fails",
			Remedy: "mount it at the same path under volumes: \"" + p + ":" + p + ":ro\", or install it",
		})
	}
	return f
}

// editableOfSrc is an editable install whose code lies in src of its project, or in a tree of links (setuptools, editable_mode=strict): the
// whole project is mounted, once, and nobody says that its import fails.
func editableOfSrc() plan.Facts {
	h := venvHost(11)
	h.Sites[0].Pth = []host.PthFile{{Name: "__editable__.proj-1.pth", Paths: []string{"/home/u/proj/build/__editable__.proj-1"}}}
	h.Sites = append(h.Sites, host.Site{Path: "/home/u/proj/build/__editable__.proj-1", Real: "/home/u/proj/build/__editable__.proj-1", Kind: "pth", Files: 3, Bytes: 1000})
	h.Packages = append(h.Packages, host.Package{Name: "proj", Site: h.Sites[0].Path, Editable: "/home/u/proj"})
	f := borrowing(h)
	f.Host.Findings = append(f.Host.Findings, finding.Finding{ID: finding.SitePathIgnored, Severity: finding.Warning, Subject: "proj",
		Message: "its source /home/u/proj is not mounted, and the import fails", Remedy: "mount it at the same path under volumes: \"/home/u/proj:/home/u/proj:ro\", or install it"})
	return f
}

func volumesOfEveryForm() plan.Facts {
	f := simple()
	f.Profile.User = "1000"
	f.Profile.Volumes = []profiles.Volume{
		{Type: "bind", Source: "/srv/data", Target: "/data/deep/down", Key: "volumes[0]"},
		{Type: "bind", Source: "/srv/ro", Target: "/data", ReadOnly: true, Key: "volumes[1]"},
		{Type: "bind", Source: "/srv/file", Target: "/etc/app.conf", ReadOnly: true, Recursive: "disabled", Key: "volumes[2]"},
		{Type: "bind", Source: "/srv/made", Target: "/made", CreateHostPath: true, Key: "volumes[3]"},
		{Type: "bind", Source: "/mnt/shared", Target: "/mnt/shared", Propagation: "rshared", Key: "volumes[4]"},
		{Type: "bind", Source: "/mnt/slave", Target: "/mnt/slave", Propagation: "rslave", Key: "volumes[5]"},
		{Type: "volume", Source: "cache", Target: "/home/app/.cache", Key: "volumes[6]"},
		{Type: "volume", Source: "models", Target: "/models", ReadOnly: true, Key: "volumes[7]"},
		{Type: "tmpfs", Target: "/scratch", TmpfsSize: 1 << 30, TmpfsMode: 0o700, Key: "volumes[8]"},
		{Type: "tmpfs", Target: "/tmp", Key: "tmpfs[0]"},
		{Type: "bind", Source: "/srv/hosts", Target: "/etc/hosts", Key: "volumes[9]"},
	}
	f.Sources = map[string]plan.Source{}
	for _, p := range []string{"/srv/data", "/srv/ro", "/mnt/shared", "/mnt/slave"} {
		f.Sources[p] = plan.Source{Exists: true, Dir: true}
	}
	f.Sources["/srv/file"], f.Sources["/srv/hosts"] = plan.Source{Exists: true}, plan.Source{Exists: true}
	f.Sources["/srv/made"] = plan.Source{}
	f.Image.Paths["/home/app/.cache"] = plan.Path{Real: "/home/app/.cache", Dir: true, Mode: 0o700, UID: 1000, GID: 1000}
	f.Profile.Lines["volumes[0]"], f.Profile.Lines["tmpfs[0]"] = at(4), at(20)
	return f
}

func volumesRefused() plan.Facts {
	f := simple()
	f.Profile.User = "1000"
	f.Profile.Volumes = []profiles.Volume{
		{Type: "bind", Source: "/srv/it's missing", Target: "/data", Key: "volumes[0]"},
		{Type: "bind", Source: "/srv/dir", Target: "/etc/passwd", Key: "volumes[1]"},
		{Type: "bind", Source: "/srv/dir", Target: "/var/run/app", Key: "volumes[2]"},
		{Type: "bind", Source: "/srv/file", Target: "/run/app", Key: "volumes[3]"},
		{Type: "volume", Source: "cache", Target: "/root/.cache", Key: "volumes[4]"},
		{Type: "bind", Source: "/srv/closed/x", Target: "/x", Key: "volumes[5]"},
		{Type: "tmpfs", Target: "relative", Key: "tmpfs[0]"},
	}
	for i, v := range f.Profile.Volumes {
		f.Profile.Lines[v.Key] = at(4 + i)
	}
	f.Sources = map[string]plan.Source{
		"/srv/it's missing": {}, "/srv/dir": {Exists: true, Dir: true}, "/srv/file": {Exists: true}, "/srv/closed/x": {Error: "permission denied"},
	}
	f.Image.Paths["/etc/passwd"] = plan.Path{Real: "/etc/passwd", Mode: 0o644}
	f.Image.Paths["/root"] = plan.Path{Real: "/root", Dir: true, Mode: 0o700}
	f.Image.Paths["/var/run"] = plan.Path{Real: "/run", Dir: true, Mode: 0o755}
	return f
}

func withDevices() plan.Facts {
	f := simple()
	f.Profile.Devices = []profiles.Device{{Source: "/dev/fuse", Target: "/dev/fuse", Permissions: "rwm", Key: "devices[0]"}, {Source: "/dev/dri", Target: "/dev/dri", Key: "devices[1]"}}
	f.Profile.Lines["devices[0]"], f.Profile.Lines["devices[1]"] = at(5), at(6)
	f.Nodes = []devices.Node{
		{Path: "/dev/fuse", Destination: "/dev/fuse", Type: "c", Major: 10, Minor: 229, Mode: 0o666, Access: "rwm"},
		{Path: "/dev/dri/card0", Destination: "/dev/dri/card0", Type: "c", Major: 226, Minor: 0, Mode: 0o660, GID: 44, Access: "rw"},
		{Path: "/dev/dri/renderD128", Destination: "/dev/dri/renderD128", Type: "c", Major: 226, Minor: 128, Mode: 0o660, GID: 106},
		{Path: "/dev/null", Destination: "/dev/null", Type: "c", Major: 1, Minor: 3, Mode: 0o666, Access: "rw"},
	}
	f.Engine.NoFileMax = 20000
	return f
}

func limits() plan.Facts {
	f := simple()
	f.Profile.CPUs, f.Profile.CPUSet = 2.5, "0-3"
	f.Profile.MemLimit, f.Profile.PidsLimit = 8<<30, 512
	f.Profile.Ulimits = map[string]profiles.Ulimit{"nofile": {Soft: 1024, Hard: -1}, "memlock": {Soft: -1, Hard: -1}, "core": {}}
	f.Engine.MemlockMax = 8 << 20
	f.Engine.OOMScoreAdj = -999 // of containerd.service
	for key, line := range map[string]int{"cpus": 2, "cpuset": 3, "mem_limit": 4, "pids_limit": 5, "ulimits.nofile": 7, "ulimits": 6} {
		f.Profile.Lines[key] = at(line)
	}
	return f
}

func initTTYStopLabels() plan.Facts {
	f := simple()
	grace := 90 * time.Second
	f.ID = "job-run-0a1b2c3d"
	f.Profile.Init, f.Profile.TTY, f.Profile.StdinOpen = true, true, true
	f.Profile.Environment = []profiles.EnvVar{{Name: "TERM", Value: "screen"}, {Name: "LANG", Value: "de_DE.UTF-8"}, {Name: "CUDA_VISIBLE_DEVICES", Value: "0"}}
	f.Profile.Labels = map[string]string{"team": "vision"}
	f.Profile.Annotations = map[string]string{"org.example.note": "x"}
	f.Profile.StopGracePeriod = &grace
	f.Image.StopSignal = "SIGINT"
	f.Profile.Lines["init"], f.Profile.Lines["environment"], f.Profile.Lines["environment.LANG"] = at(3), at(5), at(7)
	return f
}

// packagesOnBothSides has numpy in two versions, an installer that every environment has, and a package of
// python.packages that only the image has: what the host found missing is no misfit.
func packagesOnBothSides() plan.Facts {
	h := venvHost(11)
	site := h.Sites[0].Path
	h.Packages = append(h.Packages, host.Package{Name: "numpy", Version: "2.4.6", Site: site}, host.Package{Name: "pip", Version: "26.0", Site: site})
	f := borrowing(h)
	own := f.Image.Pythons[0].SiteDirs[0]
	f.Image.Sites = []host.Site{{Path: own, Kind: "site-packages", Modules: []string{"cv2", "numpy"}}}
	f.Image.Packages = []host.Package{{Name: "numpy", Version: "1.26.4", Site: own}, {Name: "pip", Version: "24.0", Site: own}}
	for _, name := range []string{"cv2", "absent"} {
		f.Host.Findings = append(f.Host.Findings, finding.Finding{
			ID: finding.PackageMissing, Severity: finding.Error, Subject: name, Message: "the package " + name + " is not installed",
		})
	}
	return f
}
