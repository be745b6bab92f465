package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestHashOfContainersThatRun: the spec is encoded apart, and the sum is still that of one list, or the next version would replace
// every container.
func TestHashOfContainersThatRun(t *testing.T) {
	pl := Plan{Spec: &specs.Spec{Version: "1.0.2", Process: &specs.Process{Args: []string{"a<b"}}, Linux: &specs.Linux{}},
		Directories: []Directory{{Path: "/d"}}, Digest: "sha256:1", Labels: map[string]string{"b": "2", "a": "1"}, StopSignal: "SIGTERM", TTY: true}
	text, err := json.Marshal([]any{pl.Spec, pl.Files, pl.Directories, pl.Digest, pl.Labels, pl.StopSignal, pl.StopSeconds, pl.TTY, pl.StdinOpen})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	if got, want := hash(&pl), hex.EncodeToString(sum[:]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
