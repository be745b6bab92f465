//go:build !failpoints

package runtime

// step does nothing outside of the journal tests.
func step(string) {}
