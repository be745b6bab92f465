package imports

// A Root is one program that the command runs.
type Root struct {
	Kind   string   `json:"kind"`            // "script", "module", "code", "package" (of Request.Packages)
	Target string   `json:"target"`          // path in the view, name of the module, or the code
	Flags  string   `json:"flags,omitempty"` // of the interpreter, one letter each: I, E, S, P, s
	Args   []string `json:"args,omitempty"`  // sys.argv[1:]
	Via    string   `json:"via,omitempty"`   // the launcher that starts it: torchrun
}
