package runtime

import (
	"os"
	"testing"
)

// needRoot skips where the test can't mount, or make nodes; with HOSTRUN_REQUIRE_ALL=1 that is a failure.
func needRoot(t *testing.T) {
	t.Helper()
	switch {
	case os.Geteuid() == 0:
	case os.Getenv("HOSTRUN_REQUIRE_ALL") == "1":
		t.Fatal("HOSTRUN_REQUIRE_ALL=1, and this test takes root")
	default:
		t.Skip("this test takes root")
	}
}
