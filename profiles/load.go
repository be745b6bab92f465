package profiles

// Options say where profiles are and what variables are worth.
type Options struct {
	Dirs []string          // searched in order, before the built-in ones
	Env  map[string]string // the caller's environment, for ${VAR}
	Cwd  string            // the caller's directory: the Dir of built-in profiles, base of path names
}

// Load finds and reads the profile called name: a name to search, or a path (it has a slash or ends in .yaml or .yml).
// The error of a file that is no profile is an *InvalidError with every problem found; that of an unknown name is a
// finding.Err with the nearest names as hint.
func Load(opt Options, name string) (*Profile, error) {
	panic("profiles: being written")
}

// An Entry is one profile that can be named.
type Entry struct {
	Name   string `json:"name"`
	File   string `json:"file"`
	Hidden bool   `json:"hidden,omitempty"` // by one of the same name that comes first
}

// List returns every profile, by name, then in the order of the search.
func List(opt Options) ([]Entry, error) {
	panic("profiles: being written")
}

// Schema returns the JSON Schema (draft 2020-12) of a profile, for editors.
func Schema() []byte {
	panic("profiles: being written")
}
