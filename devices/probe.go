package devices

// A Probe is what is tried in a container that has been made, in its own namespaces, before its process runs: a job that could not use
// what it was given must not run on the processor in silence. All nodes are looked at, whether they are the ones that were given and
// the container's user and cgroup may open them; a Probe says what more a source knows to be without effect on the device.
type Probe struct {
	// Open are nodes, by their paths in the container, that are opened and closed again: it tells whether a driver answers. What an open
	// would change stays out of it: NVIDIA's driver initialises a GPU that nobody has open, for seconds; an NPU
	// belongs to the first container that opens it.
	Open []string `json:"open,omitempty"`
	// Load are the sonames of libraries that Loader, the dynamic loader's path in the container, has to find with all that they need.
	Load   []string `json:"load,omitempty"`
	Loader string   `json:"loader,omitempty"`
}
