package runtime

// Steps names every point at which the journal tests end the process with SIGKILL (build tag failpoints, environment
// HOSTRUN_DIE_AT). A step lies directly after the effect that it names.
var Steps = []string{
	"snapshot-marked", "snapshot-made", "up-locked", "record-created", "files-written", "snapshot-prepared", "task-created", "task-started", "record-ready",
	"stop-signalled", "exit-recorded", "task-deleted", "removal-marked", "snapshot-removed", "files-removed", "record-deleted",
	"run-exited", "view-made", "view-removed",
}

// SuperviseSteps are those of a restart that hostrun supervise has done, and of what keeps it from one.
var SuperviseSteps = []string{"again-refitted", "task-created", "task-started", "stop-marked"}
