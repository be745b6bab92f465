package finding

import "maps"

func init() { maps.Copy(catalog, buildStories) }

var buildStories = map[string]Entry{
	BuildNone: {Title: "nothing that builds images answers", ExitStatus: StatusNoPath, Story: "" +
		"The profile says by build: how its image is made, the image is not here, and hostrun has no builder of its own. Three are asked, and the first that answers builds: BuildKit (buildkitd at $BUILDKIT_HOST or /run/buildkit/buildkitd.sock, by buildctl), docker with its daemon, and buildah, which needs no daemon. What they build is loaded into containerd.\n\n" +
		"Install one: apt-get install buildah is enough. Or build elsewhere and bring the image: docker save NAME | hostrun load. Or write under image: what the Dockerfile begins with, and borrow the packages of this machine by python: auto, which is what hostrun is for; the message names that image."},
	BuildFailed: {Title: "the image could not be built", ExitStatus: StatusProfile, Story: "" +
		"The builder ended with an error; its last lines are told, and hostrun build NAME shows all of them. Nothing was started, and an image of that name that was here before is still here.\n\n" +
		"Correct the Dockerfile, or the build: of the profile. A step that failed for want of a network or a mirror succeeds when it is tried again; the layers before it are kept by the builder."},
	BuildPath: {Title: "what the image is built from is not there", ExitStatus: StatusNoPath, Story: "" +
		"build: names a context, a Dockerfile, a file of a secret or a further context, and it is not there or not what it should be. Relative paths start at the profile's file; those of a built-in profile where you are; dockerfile: starts at the context.\n\n" +
		"Go to the directory that the profile is meant for (LLaMA-Factory's own, for its profiles), or correct the path."},
}
