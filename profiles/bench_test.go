package profiles

import "testing"

// BenchmarkLoadBuiltin is what each verb pays before anything else.
func BenchmarkLoadBuiltin(b *testing.B) {
	for b.Loop() {
		if _, err := Load(Options{Cwd: "/"}, "dinov2"); err != nil {
			b.Fatal(err)
		}
	}
}
