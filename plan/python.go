package plan

// borrowedRoots are the places for what the host lends, the first that fits.
var borrowedRoots = []string{"/opt/hostrun", "/.hostrun"}

func (b *builder) addPython() {}

func pythonWords(args []string) []string { return nil }
