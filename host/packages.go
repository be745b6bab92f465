package host

import (
	"context"
	"path"
	"runtime"
	"sort"
	"strings"

	"golang.org/x/sync/errgroup"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/pattern"
)

// maxMissing is how many missing files a Package names.
const maxMissing = 10

// A distribution is a Package and what its judgement needs besides.
type distribution struct {
	Package
	Key     string            // its name, normalised
	Inside  int               // missing files below the site directory; the others (scripts) never stop a start
	Mapping map[string]string // of an editable install: module -> where it lies
}

// readDistributions reads every *.dist-info, *.egg-info and EGG-INFO at the top of the sites, sorted by normalised
// name, then site in its order, then version. trees has the tree of each site, by its path.
func readDistributions(ctx context.Context, sites []Site, trees map[string]*tree, py abi.Python) ([]distribution, error) {
	var all []distribution
	var jobs []func()
	for _, site := range sites {
		for _, entry := range trees[site.Path].dirs[""] {
			if isDistribution(site.Path, entry) {
				all = append(all, distribution{Package: Package{Site: site.Path}})
				i := len(all) - 1
				jobs = append(jobs, func() { all[i].read(trees[site.Path], site, entry, py) })
			}
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0) * 2)
	for _, job := range jobs {
		group.Go(func() error { job(); return ctx.Err() })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Key < all[j].Key })
	return all, nil
}

// isDistribution follows importlib.metadata's Lookup. Names with a tilde are what an interrupted pip left behind.
func isDistribution(site, entry string) bool {
	low := strings.ToLower(entry)
	if strings.HasPrefix(entry, "~") {
		return false
	}
	return strings.HasSuffix(low, ".dist-info") || strings.HasSuffix(low, ".egg-info") ||
		low == "egg-info" && strings.HasSuffix(site, ".egg")
}

func (d *distribution) read(t *tree, site Site, entry string, py abi.Python) {
	dir := path.Join(t.root, entry)
	d.Name, d.Version = splitDistName(entry)
	told := false
	for _, file := range []string{"METADATA", "PKG-INFO", ""} {
		if b, err := readRegular(path.Join(dir, file), smallFile); err == nil && len(b) > 0 {
			told = true
			if name, version := parseMetadata(b); name != "" {
				d.Name, d.Version = name, version
			}
			break
		}
	}
	d.Key = Normalise(d.Name)
	if !told {
		d.miss(path.Join(entry, "METADATA"), true)
	}
	tops := d.checkRecord(t, entry, py)
	d.readEditable(t, site, entry)
	d.TopLevel = topLevel(t, dir, tops, d)
	from := t.root
	if d.Editable != "" {
		if r, err := t.view.Resolve(d.Editable); err == nil {
			from = r.Real
		}
	}
	d.Facts = matterFacts(from, d.Key)
}

func (d *distribution) miss(p string, inside bool) {
	d.MissingCount++
	if inside {
		d.Inside++
	}
	if len(d.Missing) < maxMissing {
		d.Missing = append(d.Missing, p)
	}
}

// checkRecord looks for each file that RECORD (or installed-files.txt of an egg-info) lists and returns the top-level
// names it implies. Byte code is left out: Python makes it again.
func (d *distribution) checkRecord(t *tree, entry string, py abi.Python) map[string]bool {
	tops := map[string]bool{}
	b, err := readRegular(path.Join(t.root, entry, "RECORD"), maxMetadata)
	from := ""
	if err != nil {
		from = entry // installed-files.txt is relative to the egg-info directory
		if b, err = readRegular(path.Join(t.root, entry, "installed-files.txt"), maxMetadata); err != nil {
			return tops
		}
	}
	parseRecord(string(b), func(p string) {
		if strings.HasSuffix(p, ".pyc") || strings.Contains(p, "__pycache__") {
			return
		}
		if from != "" && !path.IsAbs(p) {
			p = path.Join(from, p)
		}
		if top := topOf(p, py.Suffixes); top != "" {
			tops[top] = true
		}
		d.checkFile(t, p)
	})
	return tops
}

// movedScripts are lines of RECORD that dh-python leaves wrong when it moves a wheel's scripts to /usr/bin.
var movedScripts = pattern.New(`^(\.\./)?scripts(-\d+\.\d+)?/`)

func (d *distribution) checkFile(t *tree, p string) {
	if path.Base(t.path) == kindDist && movedScripts.MatchString(p) {
		return
	}
	if path.IsAbs(p) || p == ".." || strings.HasPrefix(p, "../") {
		if !path.IsAbs(p) {
			p = path.Join(t.path, p)
		}
		if !t.view.Exists(p) {
			d.miss(p, strings.HasPrefix(p, t.path+"/"))
		}
		return
	}
	if t.has(p) {
		return
	}
	d.miss(p, true)
	if strings.Count(p, "/") == 1 && path.Base(p) == "__init__.py" || isNative(p) ||
		!strings.Contains(p, "/") && strings.HasSuffix(p, ".py") {
		d.MissingModule = true
	}
}

// isNative says whether the file's name is a shared object's: x.so, libx.so.12.
func isNative(p string) bool {
	name := path.Base(p)
	return strings.HasSuffix(name, ".so") || strings.Contains(name, ".so.")
}

// topOf is the module or package that a path of RECORD belongs to, "" for what is no code (data, scripts, metadata).
func topOf(p string, suffixes []string) string {
	first, rest, nested := strings.Cut(p, "/")
	if strings.HasPrefix(first, "__editable__") || strings.HasSuffix(first, ".pth") {
		return ""
	}
	if !nested {
		return moduleOf(first, suffixes)
	}
	if !isIdentifier(first) || !(strings.HasSuffix(rest, ".py") || isNative(rest)) {
		return ""
	}
	return first
}

// moduleOf is inspect.getmodulename for a file at the top of a site directory, "" if it is no module.
func moduleOf(name string, suffixes []string) string {
	for _, suffix := range append([]string{".py", ".pyc"}, suffixes...) {
		if stem, ok := strings.CutSuffix(name, suffix); ok && isIdentifier(stem) {
			return stem
		}
	}
	return ""
}

// isIdentifier says whether import could name it; letters outside of ASCII are taken as such.
func isIdentifier(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// topLevel chooses the best source: top_level.txt, an editable install's mapping, RECORD, and a module of the
// distribution's own name.
func topLevel(t *tree, dir string, tops map[string]bool, d *distribution) []string {
	if b, err := readRegular(dir+"/top_level.txt", smallFile); err == nil {
		if declared := strings.Fields(string(b)); len(declared) > 0 {
			return sortedSet(declared)
		}
	}
	var names []string
	for name := range d.Mapping {
		names = append(names, name)
	}
	for name := range tops {
		names = append(names, name)
	}
	if len(names) > 0 {
		return sortedSet(names)
	}
	guess := strings.ReplaceAll(d.Key, "-", "_")
	for _, name := range []string{guess, guess + ".py"} {
		for _, entry := range t.dirs[""] {
			if strings.EqualFold(entry, name) {
				return []string{strings.TrimSuffix(entry, ".py")}
			}
		}
	}
	return nil
}

func sortedSet(names []string) []string {
	sort.Strings(names)
	out := names[:0]
	for i, name := range names {
		if i == 0 || name != names[i-1] {
			out = append(out, name)
		}
	}
	return out
}

// readEditable finds the sources of an editable install: direct_url.json; setuptools' finder; the directory itself
// where `setup.py develop` put it on the path through easy-install.pth.
func (d *distribution) readEditable(t *tree, site Site, entry string) {
	if b, err := readRegular(path.Join(t.root, entry, "direct_url.json"), smallFile); err == nil {
		d.Editable = editableSource(b)
	}
	if strings.HasSuffix(entry, ".dist-info") {
		d.readFinder(t, strings.TrimSuffix(entry, ".dist-info"))
	}
	if d.Editable == "" && site.Kind == kindPth && strings.HasSuffix(entry, ".egg-info") {
		d.Editable = site.Path
	}
}

// readFinder reads __editable___<name>_<version>_finder.py and __editable__.<name>-<version>.pth.
func (d *distribution) readFinder(t *tree, stem string) {
	finder := "__editable___" + editableID(stem) + "_finder.py"
	if t.has(finder) {
		if b, err := readRegular(path.Join(t.root, finder), smallFile); err == nil {
			d.Mapping = parseFinder(string(b))
		}
	}
	if d.Editable != "" {
		return
	}
	for _, module := range sortedKeys(d.Mapping) {
		d.Editable = path.Dir(d.Mapping[module])
		return
	}
	b, err := readRegular(path.Join(t.root, "__editable__."+stem+".pth"), maxPth)
	if err != nil {
		return
	}
	for _, line := range abi.ParsePth(b, abi.Version{Major: 3}) {
		if !line.Code && path.IsAbs(line.Text) {
			d.Editable = path.Clean(line.Text)
			return
		}
	}
}

// editableID is the finder's module name for a distribution (setuptools' _EditableFinder: every character that is
// not allowed in an identifier becomes an underscore).
func editableID(stem string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, stem)
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
