package plan_test

import (
	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// borrowing is the least profile that borrows the packages of h.
func borrowing(h *host.Python) plan.Facts {
	f := simple()
	f.Profile.Python.Interpreter = "auto"
	f.Profile.Command = command("python3", "train.py")
	f.Profile.Lines["python"], f.Profile.Lines["command"] = at(3), at(2)
	f.Host.Python = h
	f.Image.Pythons = []abi.Python{python("/usr/local/bin/python3", 11)}
	f.Image.Paths["/opt"] = plan.Path{Real: "/opt", Dir: true, Mode: 0o755}
	return f
}

// venvHost is a virtual environment with a site directory, and one that a second name leads to.
func venvHost(minor int) *host.Python {
	p := python("/home/u/venv/bin/python3", minor)
	p.Prefix = "/home/u/venv"
	site := p.Prefix + "/lib/python3.11/site-packages"
	p.SiteDirs = []string{site, p.Prefix + "/lib64/python3.11/site-packages"}
	p.Venv = &abi.Venv{Dir: p.Prefix, Home: "/usr/bin", Version: "3.11.4"}
	return &host.Python{Python: p, Kind: "venv", Sites: []host.Site{
		{Path: site, Real: site, Kind: "site-packages", Files: 20000, Bytes: 5 << 30, Modules: []string{"torch"}, Mode: 0o755},
		{Path: p.SiteDirs[1], Real: site, Kind: "site-packages", Files: 20000, Bytes: 5 << 30},
	}, Packages: []host.Package{{Name: "torch", Version: "2.6.0", Site: site, TopLevel: []string{"torch"}}}}
}

func condaHost() *host.Python {
	p := python("/home/u/anaconda3/bin/python3", 11)
	p.Prefix, p.BasePrefix, p.Layout = "/home/u/anaconda3", "/home/u/anaconda3", "conda"
	site := p.Prefix + "/lib/python3.11/site-packages"
	p.SiteDirs = []string{site}
	return &host.Python{Python: p, Kind: "conda", Sites: []host.Site{
		{Path: site, Real: site, Kind: "site-packages", Files: 30000, Bytes: 7 << 30, Mode: 0o755},
		{Path: "/home/u/.local/lib/python3.11/site-packages", Real: "/home/u/.local/lib/python3.11/site-packages", Kind: "user", Files: 10, Bytes: 1 << 20, Mode: 0o755},
	}}
}

// dinov2 is the seed's own example: conda on the host, conda in the image, the packages mounted over the image's.
func dinov2() plan.Facts {
	f := simple()
	f.Profile.Name, f.Profile.Image = "dinov2", "dinov2:latest"
	f.Profile.File, f.Profile.Dir = "/srv/dinov2/dinov2.yaml", "/srv/dinov2"
	f.Profile.Python = profiles.Python{Interpreter: "/home/u/anaconda3/bin/python3", Target: "/opt/conda/lib/python3.11/site-packages", Packages: []string{"torch"}}
	f.Profile.CUDA = "/usr/local/cuda"
	f.Profile.Command = command("python3", "tests/test_dinov2_images.py")
	f.Profile.WorkingDir = "/workspace"
	f.Profile.IPC = "host"
	f.Profile.Volumes = []profiles.Volume{{Type: "bind", Source: "/srv/dinov2", Target: "/workspace", Key: "volumes[0]"}}
	for key, line := range map[string]int{"image": 1, "python": 2, "python.target": 4, "cuda": 6, "command": 7, "working_dir": 8, "volumes[0]": 9, "ipc": 10} {
		f.Profile.Lines[key] = profiles.Position{File: f.Profile.File, Line: line}
	}
	f.Sources = map[string]plan.Source{"/srv/dinov2": {Exists: true, Dir: true}}
	f.Host.Python = condaHost()
	f.Host.Python.Sites = f.Host.Python.Sites[:1]
	f.Host.CUDA = cuda124()
	p := python("/opt/conda/bin/python3", 11)
	p.Prefix, p.BasePrefix, p.Layout, p.Real = "/opt/conda", "/opt/conda", "conda", "/opt/conda/bin/python3.11"
	p.SiteDirs = []string{"/opt/conda/lib/python3.11/site-packages"}
	f.Image.Reference = "docker.io/library/dinov2:latest"
	f.Image.Env = []string{"PATH=/opt/conda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	f.Image.Pythons = []abi.Python{p}
	f.Image.Paths["/opt/conda/lib/python3.11/site-packages"] = plan.Path{Real: "/opt/conda/lib/python3.11/site-packages", Dir: true, Mode: 0o755, Entries: 12}
	return f
}

func cuda124() *host.CUDA {
	return &host.CUDA{
		Path: "/usr/local/cuda", Real: "/usr/local/cuda-12.4", Version: "12.4.1", NVCC: true,
		Links: []string{"/usr/local/cuda -> /etc/alternatives/cuda", "/etc/alternatives/cuda -> /usr/local/cuda-12.4"},
		Stubs: []string{"/usr/local/cuda-12.4/targets/x86_64-linux/lib/stubs"}, LibDirs: []string{"/usr/local/cuda-12.4/targets/x86_64-linux/lib"},
	}
}
