package main

import (
	"context"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

// runReap is the hidden verb that package runtime starts behind a container that has ended: it removes what is left
// of it while the caller already has their prompt back. Its words are runtime's own, so no flag is parsed.
func runReap(ctx context.Context, words []string) error {
	reaping, err := runtime.ReapOptions(words)
	if err != nil {
		return finding.Errorf(finding.StatusUsage, "it is for hostrun's own use", "%w", err)
	}
	return runtime.Reap(ctx, reaping)
}
