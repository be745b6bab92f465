package plan

import (
	"path"
	"sort"
	"strings"

	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/profiles"
)

// Needs says which facts of its image the profile asks for.
func Needs(p *profiles.Profile) ImageNeeds {
	var n ImageNeeds
	paths := map[string]bool{}
	for _, v := range p.Volumes {
		if strings.HasPrefix(v.Target, "/") {
			paths[path.Clean(v.Target)] = true
		}
	}
	EachData(p, func(_, _ string, v profiles.Data) { paths[path.Clean(v.Target)] = true })
	if borrowsPython(p) && !usesHostRoot(p) { // there the host's Python is the one that runs
		n.Python = true
		n.Command = namedInterpreter(p)
		n.Path, _ = lookup(p.Environment, "PATH")
		paths[borrowedRoots[0]] = true
		paths[ld.CachePath] = true
		paths["/root"] = true // sources and caches of links lie below it, and it is usually closed to others
		if p.Python.Target != "" {
			paths[path.Clean(p.Python.Target)] = true
		}
		for _, word := range n.Command {
			paths[path.Clean(word)] = true
		}
	}
	n.Frameworks = !n.Python && !usesHostRoot(p) && (len(Asks(p)) > 0 || namesNodes(p, gpuNode) || namesNodes(p, npuNode))
	if borrowsCUDA(p) && !usesHostRoot(p) {
		paths[cudaPath] = true
		if strings.HasPrefix(p.CUDA, "/") {
			paths[path.Clean(p.CUDA)] = true
		}
	}
	n.Paths = sortedKeys(paths)
	if len(n.Paths) == 0 {
		n.Paths = nil
	}
	return n
}

// BindSources returns the host paths whose Facts.Sources the plan needs, sorted.
func BindSources(p *profiles.Profile) []string {
	var sources []string
	seen := map[string]bool{}
	for _, v := range p.Volumes {
		if (v.Type == "bind" || v.Type == "") && !seen[v.Source] {
			seen[v.Source] = true
			sources = append(sources, v.Source)
		}
	}
	sort.Strings(sources)
	return sources
}

func borrowsPython(p *profiles.Profile) bool {
	return p.Python.Interpreter != "" && p.Python.Interpreter != "none"
}

func borrowsCUDA(p *profiles.Profile) bool { return p.CUDA != "" && p.CUDA != "none" }

// namedInterpreter is the interpreter that the profile's command names by an absolute path, be it behind a wrapper or in a
// shell's script. The rest of the command would only split the image cache.
func namedInterpreter(p *profiles.Profile) []string {
	if found := pythonWords(commandOf(p)); len(found) > 0 && strings.HasPrefix(found[0], "/") {
		return found[:1]
	}
	return nil
}

// commandOf is the profile's entrypoint and command; nil where both are the image's.
func commandOf(p *profiles.Profile) []string {
	var words []string
	for _, c := range []*profiles.Command{p.Entrypoint, p.Command} {
		if c != nil {
			words = append(words, *c...)
		}
	}
	return words
}
