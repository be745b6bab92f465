// Package host reports what this machine has, as data: its Python environment and packages, its CUDA toolkit, its
// kernel and cgroups. It decides nothing and executes nothing; everything is read below a given root.
package host

import (
	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/abi/frameworks"
	"hostrun.dev/hostrun/finding"
)

// Facts is this machine. Its JSON form is documented in docs/facts.md; a recording replays in `hostrun spec --facts`.
type Facts struct {
	Schema        int    `json:"schema"` // 1
	Hostname      string `json:"hostname"`
	Arch          string `json:"arch"`   // as image platforms say it: amd64, arm64
	Kernel        string `json:"kernel"` // uname -r
	OS            OS     `json:"os"`
	CPUs          int    `json:"cpus"`           // online
	MemoryBytes   int64  `json:"memory_bytes"`   // MemTotal
	CgroupVersion int    `json:"cgroup_version"` // 1 (hybrid too) or 2
	// SwapAccounting says that a cgroup of v1 can be given a limit of swap; v2 always can.
	SwapAccounting bool              `json:"swap_accounting,omitempty"`
	AppArmor       bool              `json:"apparmor"`
	SELinux        bool              `json:"selinux,omitempty"`  // it enforces
	Hosts          string            `json:"hosts"`              // content of /etc/hosts
	ResolvConf     string            `json:"resolv_conf"`        // content of /etc/resolv.conf
	Upstream       string            `json:"upstream,omitempty"` // content of systemd-resolved's own resolv.conf, where /etc/resolv.conf names its stub
	Python         *Python           `json:"python,omitempty"`   // nil unless the profile borrows packages
	CUDA           *CUDA             `json:"cuda,omitempty"`     // nil unless the profile asks for it and it is there
	Findings       []finding.Finding `json:"findings,omitempty"` // what was wrong while reading
}

// OS is /etc/os-release.
type OS struct {
	ID        string `json:"id"`
	VersionID string `json:"version_id"`
	Pretty    string `json:"pretty"`
}

// A Python is the host's environment whose packages containers borrow.
type Python struct {
	abi.Python
	Kind     string    `json:"kind"`     // "venv", "conda", "pyenv", "uv", "standalone", "debian", "system"
	Sites    []Site    `json:"sites"`    // in sys.path's order: site directories, those that .pth files add, the user's
	Packages []Package `json:"packages"` // every distribution, sorted by normalised name then site
	// Frameworks is what files tell of torch, torch_npu, jax and others in Sites; nil without any.
	Frameworks *frameworks.Facts `json:"frameworks,omitempty"`
	// Conda holds what conda-meta lists of packages that are no distributions and matter: name -> version. Nil
	// outside of conda.
	Conda map[string]string `json:"conda,omitempty"`
	// Outside are the places that links in the site directories lead to, out of them.
	Outside []Outside `json:"outside,omitempty"`
	// Bytecode counts the .pyc files that this interpreter would take.
	Bytecode Bytecode `json:"bytecode,omitzero"`
}

// An Outside is a directory to which links of one package lead, out of the site directory that holds them.
type Outside struct {
	Site string `json:"site"` // Site.Path
	Top  string `json:"top"`  // of the package: the name in the site
	// Dir is where the links lead: absolute, or relative to the site directory where they are written so ("../../lib").
	Dir   string   `json:"dir"`
	Real  string   `json:"real"`            // the same on this machine, as a path without "..", links not followed
	Names []string `json:"names,omitempty"` // in it, sorted; nil: the whole directory
}

// A Bytecode is what the site directories hold of compiled modules.
type Bytecode struct {
	Tag     string `json:"tag,omitempty"` // of the interpreter's own: cpython-311
	Sources int    `json:"sources"`       // .py files
	Usable  int    `json:"usable"`        // of them, those with a .pyc of that tag beside
}

// A Site is one directory of packages on the host interpreter's path.
type Site struct {
	Path    string    `json:"path"`              // as on sys.path
	Real    string    `json:"real"`              // after links
	Kind    string    `json:"kind"`              // "site-packages", "dist-packages", "user", "pth" (added by a .pth line)
	Pth     []PthFile `json:"pth,omitempty"`     // its .pth files, in the order in which site reads them (sorted by name)
	Files   int       `json:"files"`             // regular files below; 0 for "pth", which is not walked
	Bytes   int64     `json:"bytes"`             // their size; a file with several names counts once; 0 for "pth"
	Modules []string  `json:"modules,omitempty"` // top-level modules and packages, sorted
	UID     uint32    `json:"uid"`               // owner
	Mode    uint32    `json:"mode"`              // permission bits
}

// A PthFile is what one .pth file adds (Lib/site.py, addpackage).
type PthFile struct {
	Name    string   `json:"name"`
	Paths   []string `json:"paths,omitempty"`   // directories that exist and join sys.path, absolute
	Missing []string `json:"missing,omitempty"` // lines that name what does not exist
	Imports int      `json:"imports,omitempty"` // lines of code that site executes
}

// A Package is an installed distribution.
type Package struct {
	Name          string            `json:"name"` // as METADATA writes it
	Version       string            `json:"version"`
	Site          string            `json:"site"`                // the Site.Path that it is in
	TopLevel      []string          `json:"top_level,omitempty"` // module names it installs at the top
	Editable      string            `json:"editable,omitempty"`  // source directory of an editable install
	Missing       []string          `json:"missing,omitempty"`   // files of RECORD that are gone, at most 10
	MissingCount  int               `json:"missing_count,omitempty"`
	MissingModule bool              `json:"missing_module,omitempty"` // among them a top-level package's __init__.py or a native module: the import fails
	Facts         map[string]string `json:"facts,omitempty"`          // of packages that matter: torch -> {"cuda": "12.4", "git_version": ...}
}

// A CUDA is the host's toolkit.
type CUDA struct {
	Path    string   `json:"path"`            // as asked for: /usr/local/cuda
	Real    string   `json:"real"`            // after links: /usr/local/cuda-12.4
	Links   []string `json:"links,omitempty"` // the chain between the two, "path -> target"
	Version string   `json:"version"`         // of version.json's "cuda", else version.txt, else cuda.h
	NVCC    bool     `json:"nvcc"`            // bin/nvcc and the headers are there
	Stubs   []string `json:"stubs,omitempty"` // directories of stub libraries (libcuda.so without code) below Real
	LibDirs []string `json:"lib_dirs,omitempty"`
}

// Needs says which facts a profile asks for: reading the rest would cost the start.
type Needs struct {
	Python   string   // "" none, "auto", or a path to an interpreter or an environment's directory
	Packages []string // distributions whose completeness stops a start; empty: those that matter (torch, ...)
	CUDA     string   // "" none, "auto", or a path
}

// Options say where this machine is.
type Options struct {
	Root     string            // "/"; a directory with a machine's files in tests
	Env      map[string]string // the caller's: PATH, VIRTUAL_ENV, CONDA_PREFIX, HOME, PYENV_ROOT, PYENV_VERSION, PYTHONUSERBASE, PYTHONNOUSERSITE, PYTHONPATH, LD_LIBRARY_PATH
	Dir      string            // the caller's directory (pyenv's .python-version)
	CacheDir string            // "" for none; /var/cache/hostrun
}
