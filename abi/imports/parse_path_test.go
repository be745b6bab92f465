package imports

import "testing"

// TestMovesPath: the lines that may add to sys.path, and those that only look at it.
func TestMovesPath(t *testing.T) {
	for line, want := range map[string]bool{
		"sys.path.insert(0, here)":                          true,
		"sys.path += [here]":                                true,
		"sys.path = [here] + sys.path":                      true,
		"sys.path[:0] = [here]":                             true,
		"sys.path.extend(((a := b) not in sys.path) * [a])": true,
		"paths = sys.path":                                  true,
		"extend(sys.path, here)":                            true,
		"from sys import argv, path":                        true,
		"site.addsitedir(here)":                             true,
		"import os, sys; sys.path.append(here)":             true,
		"for p in sys.path:":                                false,
		"if here in sys.path:":                              false,
		"first = sys.path[0]":                               false,
		"print(sys.path)":                                   false,
		"n = len(sys.path)":                                 false,
		"if sys.path == old:":                               false,
		"os.path.join(a, b)":                                false,
		"from os import path":                               false,
		"text = 'sys.path.append'":                          false,
	} {
		if u := parse(line+"\n    pass\n", facts{}, ""); u.movesPath != want {
			t.Errorf("%s: %v", line, u.movesPath)
		}
	}
}
