package profiles

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"hostrun.dev/hostrun/pattern"
)

// Options say where profiles are and what variables are worth.
type Options struct {
	Dirs []string          // searched in order, before the built-in ones; a name that ends in .yaml or .yml is that of a stack
	Env  map[string]string // the caller's environment, for ${VAR}
	Cwd  string            // the caller's directory: the Dir of built-in profiles, base of path names

	Text map[string][]byte // by absolute path: what is read instead of the file, which need not be there
}

// read returns the text of the file at an absolute path.
func (o Options) read(path string) ([]byte, error) {
	if text, ok := o.Text[path]; ok {
		return text, nil
	}
	return readBounded(path, maxFile)
}

// Load finds and reads the profile called name: a name to search, a path (it has a slash or ends in .yaml or .yml), or FILE:NAME
// for one of a stack. That of a whole stack ends in a *StackError.
// The error of a file that is no profile is an *InvalidError with every problem found; that of an unknown name is a
// finding.Err with the nearest names as hint.
func Load(opt Options, name string) (*Profile, error) {
	src, err := find(opt, name)
	if err != nil {
		return nil, err
	}
	r := &report{}
	l := &loader{opt: opt, report: r, first: src}
	l.env = l.environment(src)
	chain := l.chain(src, nil)
	if l.whole != nil && r.err() == nil {
		return nil, &StackError{Stack: l.whole.Stack, named: name}
	} else if l.whole != nil {
		return nil, r.err()
	}
	p := l.decode(src, chain)
	if err := r.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// A layer is one file of a profile: itself, or one that it extends.
type layer struct {
	src  source
	root *node
}

// A loader reads the files of one profile.
type loader struct {
	opt    Options
	report *report
	env    map[string]string
	taking map[string]bool // profiles whose volumes are being taken

	first  source                // the profile itself
	whole  *stackFile            // first is a stack, and not one profile of it
	stacks map[string]*stackFile // by path
}

// environment is the caller's, over the .env beside the profile.
func (l *loader) environment(src source) map[string]string {
	env := map[string]string{}
	if !src.builtin {
		l.beside(filepath.Dir(src.path), filepath.Dir(src.shown), env)
	}
	for name, value := range l.opt.Env {
		env[name] = value
	}
	return env
}

// beside reads the .env of a directory into env.
func (l *loader) beside(dir, shown string, env map[string]string) {
	shown = filepath.Join(shown, ".env")
	text, err := readBounded(filepath.Join(dir, ".env"), maxFile)
	switch {
	case err == nil:
		l.dotenv(shown, string(text), env)
	case !errors.Is(err, fs.ErrNotExist):
		l.report.add(Problem{Position: Position{File: shown}, Message: fmt.Sprintf("read the file beside the profile: %v", cause(err)), Remedy: "correct it, or move it away"})
	}
}

// DotEnv is what the .env of a directory sets. What is wrong with it is for who reads a profile there to say.
func DotEnv(opt Options, dir string) map[string]string {
	env := map[string]string{}
	l := &loader{opt: opt, report: &report{}}
	l.beside(dir, dir, env)
	return env
}

func (l *loader) dotenv(shown, text string, env map[string]string) {
	find := func(name string) (string, bool) {
		v, ok := l.opt.Env[name]
		return v, ok
	}
	parser := dotenvParser{file: shown, find: find, report: l.report}
	for _, e := range parser.parse(text) {
		env[e.name] = e.value
	}
}

// chain returns the layers of src, the deepest base first. open are the files on the way here.
func (l *loader) chain(src source, open []source) []layer {
	root := l.read(src)
	if root == nil {
		return nil
	}
	own := []layer{{src, root}}
	p := root.pair("extends")
	if p == nil {
		return own
	}
	base, ok := l.base(src, p)
	if !ok {
		return own
	}
	open = append(open, src)
	for i, o := range open {
		if o.path == base.path && o.name == base.name {
			var names []string
			for _, s := range append(open[i:], base) {
				names = append(names, s.title())
			}
			l.report.add(Problem{Position: p.pos, Key: "extends", Message: "extends: the profiles extend each other: " + strings.Join(names, " -> "), Remedy: "remove one of these extends:"})
			return own
		}
	}
	if len(open) > maxExtends {
		l.report.add(Problem{Position: p.pos, Key: "extends", Message: fmt.Sprintf("extends: more than %d profiles extend each other", maxExtends), Remedy: "shorten the chain"})
		return own
	}
	return append(l.chain(base, open), own...)
}

// maxExtends bounds a chain of extends.
const maxExtends = 16

// read returns the root of one file, or nil with its problems reported.
func (l *loader) read(src source) *node {
	text, err := src.read(l.opt)
	if err != nil {
		l.report.add(Problem{Position: Position{File: src.shown}, Status: statusOfRead(err), Message: fmt.Sprintf("read the profile: %v", cause(err)), Remedy: remedyOfRead(err)})
		return nil
	}
	y := parse(src.shown, text, l.report)
	if y == nil {
		return nil
	}
	key, value := profilesNode(y)
	switch {
	case value == nil && src.inStack:
		l.report.add(Problem{Position: Position{src.shown, 1, 1}, Message: "the file is no stack: it has no profiles:", Remedy: "name the file alone, without :" + src.name})
		return nil
	case value == nil:
		return l.grow(src, y)
	}
	st := l.stack(src, y, key, value)
	switch {
	case src.inStack:
		return l.member(src, st)
	case src == l.first:
		l.whole = st
	default:
		l.report.add(Problem{Position: st.profiles, Key: "extends", Message: "extends: the file holds several profiles", Remedy: "name one of them: extends: {file: ..., service: NAME}"})
	}
	return nil
}

func (l *loader) grow(src source, y *yaml.Node) *node {
	g := l.grower(src)
	g.verbatim = verbatim
	return g.grow(y, 0)
}

func (l *loader) grower(src source) *grower {
	return &grower{file: src.shown, dir: src.dir(l.opt), report: l.report, find: func(name string) (string, bool) {
		v, ok := l.env[name]
		return v, ok
	}}
}

// NameForm is the form of a profile's name, which is containerd's of a container (pkg/identifiers).
var NameForm = pattern.New(`^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$`)

// maxName is containerd's bound on identifiers (pkg/identifiers), less what `run` appends to the name.
const maxName = 76 - len("-run-01234567")

// decode merges the layers into the profile of src.
func (l *loader) decode(src source, layers []layer) *Profile {
	p := &Profile{Name: src.name, File: src.file(), Dir: src.dir(l.opt), Lines: map[string]Position{}}
	if !NameForm.MatchString(src.name) || len(src.name) > maxName {
		l.report.add(Problem{Position: Position{src.shown, 1, 1}, Key: "name", Message: fmt.Sprintf("%q can't be a container's name", abridged(src.name)),
			Remedy: fmt.Sprintf("rename "+src.what()+": letters and digits, joined by single . _ or -, at most %d", maxName)})
	}
	d := &decoder{profile: p, report: l.report, env: l.env, levels: map[string]int{}, counts: map[string]int{}}
	complete := len(layers) > 0 && layers[len(layers)-1].src == src
	for i, layer := range layers {
		d.level, d.name, d.inStack = i, layer.src.name, layer.src.inStack
		d.readRoot(layer.root)
	}
	if !complete {
		return p
	}
	d.finishPull()
	d.finishBuild()
	d.finishRootfs()
	d.finishEnvironment()
	d.finishVisible()
	d.finishHealthcheck()
	d.finishLabels()
	d.finishNetworkMode()
	d.finishImplied()
	d.finishResources()
	d.finishIsolation()
	if src.inStack {
		d.shared = l.stacks[src.path].data
	}
	d.finishData()
	d.finishBuildSecrets()
	d.finishLogging()
	d.finishConflicts()
	if src.inStack {
		d.finishStack(l.stacks[src.path])
	}
	d.finishDrivers()
	l.takeVolumes(src, d) // which have their real names by now
	d.finishReplicas()
	if !hidesImage(layers) {
		d.finishRequired(src.shown)
	}
	return p
}

// hidesImage reports whether image: may stand where it could not be read; that is a problem of its own.
func hidesImage(layers []layer) bool {
	if layers[0].root.pair("extends") != nil { // of a file that could not be read
		return true
	}
	for _, l := range layers {
		if contains(l.root.lost, "image") || contains(l.root.lost, "extends") || contains(l.root.lost, "services") || l.root.pair("services") != nil || l.root.full {
			return true
		}
	}
	return false
}

// readBounded returns the content of the regular file at path, of at most limit bytes. It never blocks on a FIFO.
func readBounded(path string, limit int64) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errNotFile}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = &fs.PathError{Op: "read", Path: path, Err: errTooLarge}
	}
	return b, err
}

var (
	errNotFile  = errors.New("not a regular file")
	errTooLarge = errors.New("the file is too large")
)
