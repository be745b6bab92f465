package profiles

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"hostrun.dev/hostrun/finding"
)

// A Stack is one file with several profiles under profiles:. Each of them is a profile as one in a file of its own; what stands
// beside profiles: is shared.
type Stack struct {
	Name     string   `json:"name"` // name:, else the file's, or its directory's for hostrun.yaml and stack.yaml
	File     string   `json:"file"` // absolute
	Shown    string   `json:"-"`    // the file as the caller named it
	Profiles []string `json:"-"`    // in the file's order
	Volumes  []string `json:"-"`    // that it declares and that are its own, by their real names
}

// Member names one profile of the stack as Load takes it.
func (s *Stack) Member(name string) string { return s.Shown + ":" + name }

// StackFiles are the names of a file whose profiles can be named where the file lies, the first one first.
var StackFiles = []string{"hostrun.yaml", "hostrun.yml", "stack.yaml", "stack.yml"}

// A StackError is the answer to who wants one profile and has named a file with several.
type StackError struct {
	Stack Stack
	named string
}

func (e *StackError) Error() string {
	return fmt.Sprintf("read the profile %s: the file holds several: %s", e.named, strings.Join(e.Stack.Profiles, ", "))
}

// Unwrap gives status and hint.
func (e *StackError) Unwrap() error {
	return &finding.Err{Err: errors.New("it is a stack"), Status: finding.StatusProfile, Hint: "name one of them: " + e.Stack.Member(e.Stack.Profiles[0])}
}

// ReadStack returns the stack that a name or a path leads to, and nil where that is one profile or nothing that can be read.
func ReadStack(opt Options, name string) *Stack {
	src, err := find(opt, name)
	if err != nil || src.inStack {
		return nil
	}
	r := &report{}
	l := &loader{opt: opt, report: r, first: src, env: map[string]string{}}
	l.read(src)
	if l.whole == nil {
		return nil
	}
	return &l.whole.Stack
}

// A stackFile is a stack with what its profiles are made of.
type stackFile struct {
	Stack
	members  map[string]*yaml.Node
	at       map[string]Position // where each begins
	profiles Position            // of the key profiles
	networks map[string]*sharedNetwork
	volumes  map[string]*sharedVolume
	data     map[string]map[string]Data // secrets and configs
}

// cutMember splits FILE.yaml:NAME.
func cutMember(name string) (file, member string, ok bool) {
	i := strings.LastIndexByte(name, ':')
	if i < 0 || !isFile(name[:i]) || name[i+1:] == "" || strings.Contains(name[i+1:], "/") {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}

func isFile(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

// profilesNode is the mapping under profiles: of a stack's root; nil for a file of one profile. compose's key of that name in a
// service is a list.
func profilesNode(root *yaml.Node) (key, value *yaml.Node) {
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value != "profiles" {
			continue
		}
		if v := followed(root.Content[i+1]); v.Kind == yaml.MappingNode || v.ShortTag() == "!!null" {
			return root.Content[i], v
		}
	}
	return nil, nil
}

func followed(y *yaml.Node) *yaml.Node {
	for y.Kind == yaml.AliasNode {
		y = y.Alias
	}
	return y
}

// membersIn are the names of the profiles of a file; none where it is no stack or can't be read, which who reads it says.
func membersIn(opt Options, path string) []string {
	text, err := opt.read(path)
	if err != nil {
		return nil
	}
	root := parse(path, text, &report{})
	if root == nil {
		return nil
	}
	_, value := profilesNode(root)
	if value == nil {
		return nil
	}
	var names []string
	for i := 0; i+1 < len(value.Content); i += 2 {
		names = append(names, value.Content[i].Value)
	}
	return names
}

// stack reads what is not of one profile, once for each file.
func (l *loader) stack(src source, root, key, value *yaml.Node) *stackFile {
	if st := l.stacks[src.path]; st != nil {
		return st
	}
	st := &stackFile{Stack: Stack{Name: stackName(src.path), File: src.path, Shown: src.shown}, members: map[string]*yaml.Node{}, at: map[string]Position{}}
	if l.stacks == nil {
		l.stacks = map[string]*stackFile{}
	}
	l.stacks[src.path] = st
	g := l.grower(src)
	st.profiles = g.at(key)
	for i := 0; i+1 < len(value.Content); i += 2 {
		k, v := value.Content[i], value.Content[i+1]
		if k.Tag == "!!merge" {
			g.bad(k, "write them out; <<: works inside of each", "profiles: the merge key << does not bring profiles")
			continue
		}
		name, ok := g.key(k)
		switch {
		case !ok:
		case !st.at[name].none():
			g.bad(k, "remove one of the two", "the profile %q stands twice: first in line %d", name, st.at[name].Line)
		default:
			st.at[name] = g.at(k)
			if v = followed(v); v.Kind != yaml.MappingNode {
				g.bad(k, "write at least: "+name+": {image: NAME}", "profiles.%s: expected a profile, got %s", name, describeYAML(v))
				continue
			}
			st.members[name] = v
			st.Profiles = append(st.Profiles, name)
		}
	}
	if len(value.Content) == 0 {
		g.bad(key, "write profiles: {web: {image: NAME}}", "profiles: there is none in it")
	}
	l.shared(st, g, root)
	return st
}

func (p Position) none() bool { return p == Position{} }

func describeYAML(y *yaml.Node) string {
	switch {
	case y.Kind == yaml.SequenceNode:
		return "a list"
	case y.ShortTag() == "!!null":
		return "nothing"
	}
	return fmt.Sprintf("the text %q", abridged(y.Value))
}

// stackName is what a stack is called that has no name:.
func stackName(path string) string {
	if contains(StackFiles, filepath.Base(path)) {
		return filepath.Base(filepath.Dir(path))
	}
	return stem(path)
}

// belowProfiles are words for keys of a compose file that stand elsewhere in a stack.
var belowProfiles = map[string]string{
	"services": "write profiles: for services:, each of which is a profile; hostrun import compose FILE makes a stack of a compose file",
	"version":  "remove it: compose ignores it too",
	"include":  "use extends:, or name several files on the command line",
}

// shared reads the keys beside profiles:.
func (l *loader) shared(st *stackFile, g *grower, root *yaml.Node) {
	d := &decoder{profile: &Profile{Lines: map[string]Position{}}, report: l.report, env: l.env, levels: map[string]int{}, counts: map[string]int{}}
	seen := map[string]Position{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Tag == "!!merge" {
			g.bad(root.Content[i], "write it out; <<: works inside of each profile", "the merge key << has no place beside profiles:")
			continue
		}
		key, ok := g.key(root.Content[i])
		pos := g.at(root.Content[i])
		if !ok {
			continue
		}
		if first, twice := seen[key]; twice {
			g.bad(root.Content[i], "remove one of the two", "key %q stands twice: first in line %d", key, first.Line)
			continue
		}
		seen[key] = pos
		switch {
		case key == "profiles", strings.HasPrefix(key, "x-"):
			continue
		case !contains(sharedKeys, key):
			l.notShared(d, key, pos)
			continue
		}
		n := g.grow(root.Content[i+1], 1)
		switch {
		case n == nil:
		case key == "name":
			if s, ok := d.text(n, key); ok && NameForm.MatchString(s) {
				st.Name = s
			} else if ok {
				d.bad(n, key, "use letters and digits, joined by single . _ or -", "%q can't be the name of a stack", abridged(s))
			}
		case key == "networks":
			st.networks = readShared(d, n, key, sharedNetworkFields())
			d.sharedNames(n, key, func(name string) string { return realName(name, st.networks[name].Real) })
			d.checkSharedSubnets(st, n)
		case key == secretsKey, key == configsKey: // given to the profiles that name them
			if st.data == nil {
				st.data = map[string]map[string]Data{}
			}
			st.data[key] = d.dataDefinitions(n, key)
		case key == "volumes":
			st.volumes = readShared(d, n, key, sharedVolumeFields)
			d.sharedNames(n, key, func(name string) string { return realName(name, st.volumes[name].Real) })
			d.checkSharedVolumes(st, n)
		}
	}
}

// sharedKeys are those beside profiles:.
var sharedKeys = []string{"networks", "volumes", secretsKey, configsKey, "name"}

func (l *loader) notShared(d *decoder, key string, pos Position) {
	remedy, message := belowProfiles[key], "this key belongs to a compose file, not to a stack"
	if remedy == "" {
		message = "this key is no stack's: these are profiles, networks, volumes, secrets, configs, name, and x-..."
		remedy = "remove it, or begin it with x- to keep it unread"
		if _, later := notYet[key]; later || findField(profileFields(), key) != nil {
			message = "this key is a profile's, and the file holds several profiles"
			remedy = "put it below one of profiles:, or for all of them into an anchor: x-common: &common {" + key + ": ...}, and <<: *common in each"
		} else if near := finding.Nearest(key, append([]string{"profiles"}, sharedKeys...), 1); len(near) > 0 {
			remedy = "did you mean " + near[0] + "? Keys that begin with x- pass unread"
		}
	}
	d.badAt(pos, key, remedy, "%s", message)
}

// member returns the root of one profile of a stack, or nil with the problem reported.
func (l *loader) member(src source, st *stackFile) *node {
	y := st.members[src.name]
	if y == nil {
		if st.at[src.name].none() { // else it has been reported
			remedy := "it has " + strings.Join(st.Profiles, ", ")
			if near := finding.Nearest(src.name, st.Profiles, 1); len(near) > 0 {
				remedy = "did you mean " + near[0] + "? " + remedy
			}
			l.report.add(Problem{Position: st.profiles, Key: "profiles", Message: fmt.Sprintf("there is no profile %q in it", src.name), Remedy: remedy})
		}
		return nil
	}
	return l.grow(src, y)
}
