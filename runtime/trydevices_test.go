package runtime

import (
	"context"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"

	"hostrun.dev/hostrun/plan"
)

// TestDamagedProbeLabelIsSaid: what can't be read was passed over, and the container started with devices that nobody had tried.
func TestDamagedProbeLabelIsSaid(t *testing.T) {
	r := containers.Container{ID: "job", Labels: map[string]string{plan.LabelProbe: "{"}}
	bad := (&Client{}).trialOf(r)
	defer bad.end()
	if err := bad.run(context.Background(), 1); err == nil || !strings.Contains(err.Error(), plan.LabelProbe) {
		t.Errorf("%v", err)
	}
	r.Labels = nil
	if err := (&Client{}).trialOf(r).run(context.Background(), 1); err != nil {
		t.Errorf("without devices: %v", err)
	}
}
