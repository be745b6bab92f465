// Package dists says which installed distribution brought a file, by what installers leave: RECORD of pip and uv, lists
// of conda and dpkg, and, where none of these names the file, the module's name. Nothing is executed.
package dists

import (
	"encoding/json"
	"path"
	"strings"

	"hostrun.dev/hostrun/rootfs"
)

// An Owner is a distribution, or, with an empty Name, the directory that stands for files of none.
type Owner struct {
	Name    string `json:"name,omitempty"` // as the installer writes it: "scikit-learn"; "" where no distribution was found
	Version string `json:"version,omitempty"`
	Dir     string `json:"dir"`          // that the package's files lie in: the site directory, the prefix, or the files' own
	By      string `json:"by,omitempty"` // what told: "RECORD", "conda", "dpkg", "name"; "" for none
}

// Bounds, in bytes and files.
const (
	maxList  = 64 << 20
	maxLists = 20_000
)

// An Index finds owners in one view. It reads lists when they are first needed, and is for one goroutine.
type Index struct {
	view  *rootfs.View
	sites map[string]*site            // by directory; nil: it has no metadata
	conda map[string]map[string]Owner // by prefix: path below it -> package
	dpkg  map[string]Owner            // by path; nil until it is read
}

// A site is a directory with metadata of distributions.
type site struct {
	files map[string]Owner   // of RECORD, absolute
	tops  map[string][]Owner // by top-level name
}

// New returns an index of a view.
func New(view *rootfs.View) *Index {
	return &Index{view: view, sites: map[string]*site{}, conda: map[string]map[string]Owner{}}
}

// Owner returns that of a file, an absolute path of the view.
func (x *Index) Owner(file string) Owner {
	file = path.Clean("/" + file)
	dir, s := x.siteOf(path.Dir(file))
	if s != nil {
		if o, ok := s.files[file]; ok {
			return o
		}
	}
	if o, ok := x.condaOwner(file); ok {
		return o
	}
	top := path.Dir(file)
	if s != nil {
		first, _, nested := strings.Cut(strings.TrimPrefix(file, strings.TrimSuffix(dir, "/")+"/"), "/")
		if nested {
			top = path.Join(dir, first)
		} else {
			first, _, _ = strings.Cut(first, ".")
		}
		if all := s.tops[first]; len(all) == 1 {
			return all[0]
		}
	}
	if o, ok := x.dpkgOwner(file); ok {
		return o
	}
	return Owner{Dir: top}
}

// siteOf is the nearest directory, upwards, that holds metadata.
func (x *Index) siteOf(dir string) (string, *site) {
	for range 64 {
		s, known := x.sites[dir]
		if !known {
			s = x.readSite(dir)
			x.sites[dir] = s
		}
		if s != nil || dir == "/" {
			return dir, s
		}
		dir = path.Dir(dir)
	}
	return "", nil
}

func (x *Index) readSite(dir string) *site {
	entries, err := x.view.ReadDir(dir)
	if err != nil {
		return nil
	}
	var s *site
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, "~") || !strings.HasSuffix(name, ".dist-info") && !strings.HasSuffix(name, ".egg-info") {
			continue
		}
		if s == nil {
			s = &site{files: map[string]Owner{}, tops: map[string][]Owner{}}
		}
		x.readDist(s, dir, name)
	}
	return s
}

// readDist adds what one directory of metadata says.
func (x *Index) readDist(s *site, dir, name string) {
	o := Owner{Dir: dir, By: "RECORD"}
	o.Name, o.Version, _ = strings.Cut(name[:strings.LastIndexByte(name, '.')], "-")
	o.Version, _, _ = strings.Cut(o.Version, "-py")
	x.readHeaders(path.Join(dir, name), &o)
	recorded := false
	for _, list := range []string{"RECORD", "installed-files.txt"} {
		base := dir
		if list != "RECORD" {
			base = path.Join(dir, name)
		}
		for _, p := range paths(x.text(path.Join(dir, name, list))) {
			if !path.IsAbs(p) {
				p = path.Join(base, p)
			}
			s.files[p], recorded = o, true
		}
	}
	if recorded {
		return
	}
	o.By = "name"
	for _, top := range append(strings.Fields(x.text(path.Join(dir, name, "top_level.txt"))), strings.NewReplacer("-", "_", ".", "_").Replace(o.Name)) {
		if all := s.tops[top]; len(all) == 0 || all[len(all)-1] != o {
			s.tops[top] = append(all, o)
		}
	}
}

// readHeaders takes name and version of METADATA or PKG-INFO (core metadata specification); an egg-info may be that file.
func (x *Index) readHeaders(dir string, o *Owner) {
	for _, file := range []string{"METADATA", "PKG-INFO", ""} {
		text := x.text(path.Join(dir, file))
		for line := range strings.SplitSeq(text, "\n") {
			key, value, ok := strings.Cut(strings.TrimRight(line, "\r"), ":")
			if !ok {
				break
			}
			switch key {
			case "Name":
				o.Name = strings.TrimSpace(value)
			case "Version":
				o.Version = strings.TrimSpace(value)
			}
		}
		if text != "" {
			return
		}
	}
}

func (x *Index) text(p string) string {
	b, err := x.view.ReadFile(p, maxList)
	if err != nil {
		return ""
	}
	return string(b)
}

// paths are the native files of a RECORD (PEP 376: CSV, of which the path comes first) or of a list of paths. Others are
// not asked for, and there are many.
func paths(text string) []string {
	var all []string
	for line := range strings.SplitSeq(text, "\n") {
		if !strings.Contains(line, ".so") {
			continue
		}
		line = strings.TrimRight(line, "\r")
		if quoted, ok := strings.CutPrefix(line, `"`); ok {
			line, _, _ = strings.Cut(strings.ReplaceAll(quoted, `""`, "\x00"), `"`)
			line = strings.ReplaceAll(line, "\x00", `"`)
		} else {
			line, _, _ = strings.Cut(line, ",")
		}
		all = append(all, line)
	}
	return all
}

// condaOwner asks conda-meta of the prefix that the file lies in (conda's PrefixRecord: name, version, files).
func (x *Index) condaOwner(file string) (Owner, bool) {
	for dir := path.Dir(file); dir != "/"; dir = path.Dir(dir) {
		records, known := x.conda[dir]
		if !known {
			records = x.readConda(dir)
			x.conda[dir] = records
		}
		if records != nil {
			o, ok := records[strings.TrimPrefix(file, dir+"/")]
			return o, ok
		}
	}
	return Owner{}, false
}

func (x *Index) readConda(prefix string) map[string]Owner {
	entries, err := x.view.ReadDir(prefix + "/conda-meta")
	if err != nil {
		return nil
	}
	owners := map[string]Owner{}
	for _, e := range entries[:min(len(entries), maxLists)] {
		var record struct {
			Name, Version string
			Files         []string
		}
		if !strings.HasSuffix(e.Name(), ".json") || json.Unmarshal([]byte(x.text(path.Join(prefix, "conda-meta", e.Name()))), &record) != nil {
			continue
		}
		for _, file := range record.Files {
			if strings.Contains(file, ".so") {
				owners[file] = Owner{record.Name, record.Version, prefix, "conda"}
			}
		}
	}
	return owners
}

// dpkgOwner asks dpkg's lists (/var/lib/dpkg/info/*.list). A system whose /lib is a link lists either path.
func (x *Index) dpkgOwner(file string) (Owner, bool) {
	if x.dpkg == nil {
		x.readDpkg()
	}
	o, ok := x.dpkg[file]
	if !ok {
		o, ok = x.dpkg[strings.TrimPrefix(file, "/usr")]
	}
	return o, ok
}

func (x *Index) readDpkg() {
	x.dpkg = map[string]Owner{}
	entries, err := x.view.ReadDir("/var/lib/dpkg/info")
	if err != nil {
		return
	}
	versions := packageVersions(x.text("/var/lib/dpkg/status"))
	for _, e := range entries[:min(len(entries), maxLists)] {
		name, ok := strings.CutSuffix(e.Name(), ".list")
		if !ok {
			continue
		}
		name, _, _ = strings.Cut(name, ":")
		for _, p := range paths(x.text(path.Join("/var/lib/dpkg/info", e.Name()))) {
			x.dpkg[p] = Owner{name, versions[name], path.Dir(p), "dpkg"}
		}
	}
}

// packageVersions reads dpkg's status (deb822(5)).
func packageVersions(status string) map[string]string {
	versions := map[string]string{}
	name := ""
	for line := range strings.SplitSeq(status, "\n") {
		if rest, ok := strings.CutPrefix(line, "Package: "); ok {
			name = rest
		} else if rest, ok := strings.CutPrefix(line, "Version: "); ok {
			versions[name] = rest
		}
	}
	return versions
}
