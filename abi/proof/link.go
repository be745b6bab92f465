package proof

import (
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"context"

	"hostrun.dev/hostrun/abi/imports"
	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/rootfs"
)

// A prover is one Prove.
type prover struct {
	ctx     context.Context
	view    *rootfs.View
	r       Request
	tree    *tree
	system  *ld.System
	process *ld.Process // the interpreter as it starts; nil where files do not show that it does
	noStart error       // why it can't be simulated

	loaded    *ld.Process         // with what the command has imported so far
	judged    map[string]*Module  // by path
	order     []string            // of judged
	broken    map[string]string   // path -> message: as imports.Request has it
	files     map[string]bool     // that the loader opened
	started   chan struct{}       // closed when the interpreter's start has been simulated
	results   []ld.Result         // of the tree's modules, each on its own; no verdict: not asked
	stale     bool                // something was lent since
	mu        sync.Mutex          // of files
	namesakes map[string][]string // see providers
	known     *imports.Known      // what scans of this proof have read
	lending
}

// start simulates the start of the interpreter.
func (p *prover) start() {
	p.files = map[string]bool{}
	interpreter, err := ld.Interpreter(p.view, p.r.Python.Real)
	if err != nil {
		p.noStart = err
		return
	}
	o := ld.Options{WorkingDirectory: p.r.WorkingDir, ISALevel: p.r.ISALevel}
	if list := p.r.Env["LD_LIBRARY_PATH"]; list != "" {
		o.LibraryPath = splitPath(list)
	}
	if list := p.r.Env["LD_PRELOAD"]; list != "" {
		o.Preload = strings.FieldsFunc(list, func(c rune) bool { return c == ':' || c == ' ' })
	}
	if p.system, err = ld.NewSystem(p.view, interpreter, o); err != nil {
		p.noStart = err
		return
	}
	p.openLender(interpreter)
	for _, program := range []string{p.r.Python.Executable, p.r.Python.Real} {
		for p.process, err = p.system.Start(program); err != nil && p.lendToProgram(err); {
			p.process, err = p.system.Start(program)
		}
		if err == nil {
			break
		}
	}
	if err != nil {
		p.noStart, p.process = err, nil
		return
	}
	p.loaded = p.process
	for _, o := range p.process.Objects() {
		p.files[o.Path] = true
	}
}

func (p *prover) scan() (imports.Report, error) {
	return imports.Scan(p.ctx, p.view, imports.Request{Python: p.r.Python, Command: p.r.Command, WorkingDir: p.r.WorkingDir,
		Packages: p.r.Packages, Env: p.r.Env, HostDirs: p.r.HostDirs, Broken: p.broken, Native: p.touch, Known: p.known})
}

// touch reads a native module that the command may import while the imports are still being followed.
func (p *prover) touch(file string) {
	<-p.started
	if p.process != nil {
		p.process.Touch(file)
	}
}

// maxRounds bounds how often the imports are followed anew with what was found broken.
const maxRounds = 6

// follow judges the native modules that the command imports, in their order. Where one does not load, the imports are
// followed again, as a program that catches the failure goes another way.
func (p *prover) follow(scan imports.Report) (imports.Report, error) {
	for range maxRounds {
		known := len(p.broken)
		for p.reached(scan); p.renewed; p.reached(scan) {
			p.beginAnew()
		}
		if len(p.broken) == known || p.ctx.Err() != nil {
			break
		}
		var err error
		if scan, err = p.scan(); err != nil {
			return scan, err
		}
	}
	return scan, p.ctx.Err()
}

func (p *prover) reached(scan imports.Report) {
	for _, m := range scan.Modules {
		if m.Kind != imports.Extension || p.ctx.Err() != nil || p.renewed {
			continue
		}
		if have := p.judged[m.File]; have != nil {
			have.Reach = m.Reach
			continue
		}
		judged := &Module{Name: m.Name, Path: m.File, Reach: m.Reach, By: m.By}
		p.judged[m.File] = judged
		p.order = append(p.order, m.File)
		p.judge(judged, m.Reach == imports.Required || m.Reach == imports.Attempted)
	}
}

// judge asks the loader about a module that the command imports. One that is certainly tried stays in the process, as
// what it brings along satisfies those behind it.
func (p *prover) judge(m *Module, stays bool) {
	next, result, provider := p.provided(p.loaded, m.Path, map[string]bool{})
	for p.lend(m.Name, m.Path, result) || p.lendToProvider(m, result, provider) {
		next, result, provider = p.provided(p.loaded, m.Path, map[string]bool{})
	}
	p.noteFiles(result)
	m.take(result)
	switch {
	case result.Verdict == ld.OK && provider != "":
		m.Verdict, m.Provider = Conditional, provider
	case provider != "":
		m.Provider, m.Doubt = provider, "a library that it needs lies where the loader does not look; a program may load it before"
	case result.Verdict != ld.OK:
		m.Doubt = p.doubt(m.Path, result)
	}
	if stays && result.Verdict == ld.OK {
		p.loaded = next
	}
	if m.Verdict.Fails() && m.Doubt == "" {
		p.broken[m.Path] = m.Message
	}
}

// take notes a result.
func (m *Module) take(r ld.Result) {
	m.Verdict, m.Message, m.Killed = Verdict(r.Verdict), r.Message, r.Killed
	if r.Verdict == ld.OK {
		return
	}
	m.Library, m.NeededBy = r.Needed, r.Object
	if m.Library == "" {
		m.Library, m.NeededBy = r.Object, r.RequiredBy
	}
	if !m.Killed {
		m.Message = "ImportError: " + r.Message
	}
}

// maxProviders bounds the libraries that are tried to make one module load.
const maxProviders = 128

// provided opens a file as dlopen would, where need be behind libraries of the host's packages that lie where the loader
// does not look: packages load those by themselves (torch: nvidia/*/lib; torch/__init__.py, _preload_cuda_deps). It
// returns the first of these.
func (p *prover) provided(q *ld.Process, file string, tried map[string]bool) (*ld.Process, ld.Result, string) {
	first := ""
	for {
		next, result := q.With(file, false)
		name := path.Base(result.Needed)
		if result.Verdict != ld.Missing || result.Needed == file || tried[name] || len(tried) > maxProviders {
			return next, result, first
		}
		tried[name] = true
		candidates := p.providers(name)
		if len(candidates) == 0 {
			return q, result, first
		}
		if first == "" {
			first = candidates[0]
		}
		loaded := false
		for _, c := range candidates[:min(len(candidates), 4)] {
			with, got, _ := p.provided(q, c, tried)
			if got.Verdict == ld.OK {
				q, loaded = with, true
				break
			}
		}
		if !loaded {
			return q, result, first
		}
	}
}

// doubt says why a failure is not certain, "" where it is.
func (p *prover) doubt(file string, result ld.Result) string {
	switch {
	case result.Verdict == ld.Missing && p.loadsLater(file):
		return "another module that the command may import loads the library"
	case noRoom(result) && !p.neverFits(file):
		return "the room for static TLS depends on what was loaded before"
	case result.Verdict == ld.Undefined && result.Version == "" && !strings.HasPrefix(result.Symbol, "Py") && !strings.HasPrefix(result.Symbol, "_Py"):
		if p.definedSomewhere(file) {
			return "a library that a program may load before defines the symbol"
		}
	}
	return ""
}

func noRoom(r ld.Result) bool {
	return r.Verdict == ld.Gate && strings.Contains(r.Message, "static TLS")
}

// neverFits says that a file asks for more static TLS than a process has left that has imported nothing. A tunable of glibc
// may make the room larger (glibc.rtld.optional_static_tls).
func (p *prover) neverFits(file string) bool {
	return p.r.Env["GLIBC_TUNABLES"] == "" && noRoom(p.process.Open(file))
}

// loadsLater tries again behind all that the command imports or may import.
func (p *prover) loadsLater(file string) bool {
	q := p.loaded
	for _, other := range p.order {
		if m := p.judged[other]; m.Verdict == OK && m.Reach != imports.Required && m.Reach != imports.Attempted {
			q, _ = q.With(other, false)
		}
	}
	if q == p.loaded {
		return false
	}
	_, result := q.With(file, false)
	return result.Verdict == ld.OK
}

// definedSomewhere tries again with all that is loaded, and all libraries that the host lends, in the global scope.
func (p *prover) definedSomewhere(file string) bool {
	q := p.loaded
	for _, o := range p.loaded.Objects() {
		q, _ = q.With(o.Path, true)
	}
	count := 0
	for _, paths := range p.tree.libraries {
		if count++; count > 4*maxProviders {
			return true
		}
		q, _ = q.With(paths[0], true)
		if p.ctx.Err() != nil {
			return true
		}
	}
	_, result := q.With(file, false)
	return result.Verdict != ld.Undefined
}

func (p *prover) noteFiles(r ld.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range r.Loaded {
		p.files[o.Path] = true
	}
	if r.Object != "" {
		p.files[r.Object] = true
	}
}

// openers open native modules side by side, for disks that are cold.
const openers = 8

// alone judges each native module below the site directories on its own.
func (p *prover) alone() {
	if p.stale = false; p.process == nil {
		return
	}
	var next atomic.Int64
	var wait sync.WaitGroup
	all := p.tree.modules
	p.results = make([]ld.Result, len(all))
	for range max(runtime.GOMAXPROCS(0), openers) {
		wait.Go(func() {
			for i := int(next.Add(1) - 1); i < len(all) && p.ctx.Err() == nil; i = int(next.Add(1) - 1) {
				if all[i].Verdict == "" && p.judged[all[i].Path] == nil {
					p.results[i] = p.process.Open(all[i].Path)
				}
			}
		})
	}
	wait.Wait()
}

// others takes the verdicts of what the command does not import. They are known, unless something has been lent since.
func (p *prover) others() {
	if p.stale {
		p.alone()
	}
	for i := range p.results {
		if m := &p.tree.modules[i]; m.Verdict == "" && p.judged[m.Path] == nil && p.results[i].Verdict != "" {
			p.takeAlone(m, p.results[i])
		}
	}
}

func (p *prover) takeAlone(m *Module, result ld.Result) {
	p.noteFiles(result)
	m.take(result)
	if result.Verdict != ld.Missing {
		return
	}
	if at := p.providers(path.Base(result.Needed)); len(at) > 0 && result.Needed != m.Path {
		m.Verdict, m.Provider = Conditional, at[0]
	}
}

// all returns every native module: those that the command reaches first.
func (p *prover) all() []Module {
	var all []Module
	for _, file := range p.order {
		all = append(all, *p.judged[file])
	}
	for _, m := range p.tree.modules {
		if p.judged[m.Path] == nil && m.Verdict != "" {
			all = append(all, m)
		}
	}
	return slices.Clip(all)
}
