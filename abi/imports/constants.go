package imports

// constants are the values that names of a module have been bound to so far. Most files ask for none of them: what is bound
// is written down, and sorted by name once somebody asks for one among many.
type constants struct {
	log     []binding
	sorted  map[string]any // of the log's beginning
	until   int            // the end of that beginning
	decided []string       // names that have had a value, for forget
	some    bool           // a value is in the log
}

// A binding is an assignment, an import, or what else gives a name a value.
type binding struct {
	name  string
	value any // undecided{} where files do not tell
}

// fewBindings are looked through one by one.
const fewBindings = 64

// bind notes a value. A name that is bound twice to different values is not known.
func (c *constants) bind(name string, value any) {
	c.log = append(c.log, binding{name, value})
	if value != (undecided{}) {
		c.some = true
		c.decided = append(c.decided, name)
	}
}

// forget takes back all values: names come from elsewhere.
func (c *constants) forget() {
	for _, name := range c.decided {
		c.log = append(c.log, binding{name, undecided{}})
	}
	c.decided = c.decided[:0]
}

// get returns the value of a name, and whether it is bound.
func (c *constants) get(name string) (value any, bound bool) {
	if c == nil {
		return nil, false
	}
	if len(c.log)-c.until > fewBindings {
		if c.sorted == nil {
			c.sorted = make(map[string]any, len(c.log))
		}
		for ; c.until < len(c.log); c.until++ {
			b := c.log[c.until]
			old, bound := c.sorted[b.name]
			c.sorted[b.name] = b.after(old, bound)
		}
	}
	value, bound = c.sorted[name]
	for _, b := range c.log[c.until:] {
		if b.name == name {
			value, bound = b.after(value, bound), true
		}
	}
	return value, bound
}

// after is the value that a name has behind a binding.
func (b binding) after(old any, bound bool) any {
	if b.value != (undecided{}) && bound && truth(old) != truth(b.value) {
		return undecided{}
	}
	return b.value
}
