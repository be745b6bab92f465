package finding

// catalog maps an id to its story. The text is for a person who has just been refused: what would have happened,
// why, and the ways out.
var catalog = map[string]Entry{
	HealthcheckLong: {Title: "the healthcheck is too long", ExitStatus: StatusProfile, Story: "" +
		"hostrun supervise keeps no state of its own: restart policy and healthcheck lie with the container, in a label of containerd, which takes 4096 bytes.\n\n" +
		"Put a long test into a script, in the image or in a volume, and name the script."},
	DependUnknown: {Title: "depends_on names a profile that is not there", ExitStatus: StatusProfile, Story: "" +
		"Each name under depends_on is a profile, searched as on the command line: beside the others, then in the user's and the machine's directories, then among the built-in ones.\n\n" +
		"Correct the name, or write the profile. required: false goes on without it."},
	DependCycle: {Title: "profiles depend on each other in a circle", ExitStatus: StatusProfile, Story: "" +
		"Each of them would wait for the next one for ever. The message names the way round.\n\n" +
		"Remove one of the depends_on. Where both services need each other, let one of them try again until the other is there."},
	DependUnprobed: {Title: "the health of a profile without a healthcheck is waited for", ExitStatus: StatusProfile, Story: "" +
		"condition: healthy waits until the healthcheck of the other profile succeeds, and that profile has none.\n\n" +
		"Give it one: healthcheck: {tcp: 5432} needs no program in the image. Or wait for condition: started."},
	RestartRefused: {Title: "the container is not started again", ExitStatus: StatusMisfit, Story: "" +
		"Each restart makes a fresh plan: the driver's paths, the numbers of devices and the proof are those of this moment. This one found that host and image no longer fit, that a path or a device is gone, or that the profile can't run here any more. To try again every second would change nothing, so it is left until somebody starts it, or the machine boots.\n\n" +
		"hostrun ps -a and hostrun inspect NAME show why. Repair it, then hostrun up NAME."},
	SuperviseRunning: {Title: "hostrun supervise runs already", ExitStatus: StatusTryAgain, Story: "" +
		"One process looks after the containers of a namespace; two would start the same container twice. It is started by the first command that needs it, and ends by itself.\n\n" +
		"To have it run by systemd instead, stop the one that runs, by the process number in the message, and start the unit."},
	ProfileInvalid: {Title: "the profile is invalid", ExitStatus: StatusProfile, Story: "" +
		"hostrun reads profiles strictly: a key it does not know, a key written twice, a value of the wrong type or a variable that is not set stops it, with the file and the line. Other tools drop what they do not understand, and the difference shows up as a job that behaves strangely a week later.\n\n" +
		"Correct the line. Keys that begin with x- are yours: they pass unread."},
	ProfileNotYet: {Title: "a compose key that hostrun does not implement yet", ExitStatus: StatusProfile, Story: "" +
		"The key is a real one of the compose specification and hostrun knows it, but this version does not act on it. Starting without it would give you a different service than the one you described.\n\n" +
		"Remove the key, or rename it with an x- prefix to keep it in the file."},
	PrivilegedUsed: {Title: "the container is privileged", ExitStatus: StatusMisfit, Story: "" +
		"privileged: true gives the container every capability, every device of the host and no seccomp filter: root in it is root on the machine. hostrun does it because you asked, and says so each time.\n\n" +
		"Accelerators do not need it. Name the device nodes under devices: and the capability under cap_add: instead."},
	PythonMissingHost: {Title: "no usable Python on the host", ExitStatus: StatusNoPath, Story: "" +
		"The profile borrows the host's packages, and the interpreter that owns them was not found, so hostrun can't say which packages those are. python: auto takes the python3 of the caller's PATH, as the shell would.\n\n" +
		"Activate the environment first, or name it: python: /path/to/venv/bin/python3. Under sudo and systemd the PATH is another one: name it there."},
	PythonBrokenVenv: {Title: "the virtual environment is broken", ExitStatus: StatusMisfit, Story: "" +
		"A virtual environment holds no interpreter: pyvenv.cfg and bin/python3 point to the one it was made from. That one is gone, usually because the distribution, pyenv or uv replaced it.\n\n" +
		"Make the environment again with the interpreter that is there now, and install the packages into it."},
	PythonVersion: {Title: "host packages and image Python are of different versions", ExitStatus: StatusMisfit, Story: "" +
		"Native modules carry the version in their file name (cpython-312-x86_64-linux-gnu). Python 3.11 does not even look at them: import ends in ModuleNotFoundError, or, for a bare .so, in an undefined symbol.\n\n" +
		"Use an image with the host's version of Python, or name a host environment with the image's version under python:."},
	PythonFlags: {Title: "the two Pythons are different builds", ExitStatus: StatusMisfit, Story: "" +
		"A free-threaded (t) interpreter lays out objects differently. It still accepts .abi3.so files by name and then dies with \"SystemError: init function of ... returned uninitialized object\". Debug (d) modules are invisible to a release interpreter; trace-refs builds before 3.13 differ in the object header.\n\n" +
		"Use the same build on both sides."},
	PythonLibc: {Title: "the image uses another C library", ExitStatus: StatusMisfit, Story: "" +
		"Packages built for glibc do not load under musl (Alpine): \"Error loading shared library ld-linux-x86-64.so.2\" or \"Error relocating ...: symbol not found\".\n\n" +
		"Use an image of Debian, Ubuntu, or another distribution with glibc."},
	PythonArch: {Title: "host and image are of different architectures", ExitStatus: StatusMisfit, Story: "" +
		"The loader skips libraries of another machine without a word and then reports the file as not found: \"cannot open shared object file: No such file or directory\".\n\n" +
		"Pull the image for this machine's architecture: hostrun pull --platform linux/<arch> IMAGE."},
	PythonImpl: {Title: "CPython and PyPy do not share native modules", ExitStatus: StatusMisfit, Story: "" +
		"Each implementation has its own binary interface and its own file names. None of the host's native modules would be found.\n\n" +
		"Use the same implementation on both sides."},
	PythonPrerelease: {Title: "one Python is a pre-release", ExitStatus: StatusMisfit, Story: "" +
		"CPython freezes its binary interface with the first release candidate. Modules built for an alpha or beta may crash another one although the names agree.\n\n" +
		"Use final releases, or the very same pre-release on both sides."},
	PythonMissingImage: {Title: "the image has no Python", ExitStatus: StatusMisfit, Story: "" +
		"The profile mounts the host's Python packages, and no interpreter was found in the image: not on the PATH of its configuration, not in the usual places, or only as a link that leads nowhere.\n\n" +
		"Use an image with Python, name the interpreter's path in command:, or set python: none."},
	PythonAmbiguous: {Title: "the image has several Pythons", ExitStatus: StatusMisfit, Story: "" +
		"They differ, and neither the command nor the PATH of the image says which one the container will run, so no proof can be given.\n\n" +
		"Name the interpreter by its path in command: or entrypoint:."},
	PythonContradiction: {Title: "a Python contradicts itself", ExitStatus: StatusMisfit, Story: "" +
		"Two places that describe the same interpreter disagree: its binary, its library, its sysconfig data, its headers. It usually means that two installations were mixed in one prefix.\n\n" +
		"Reinstall that Python. hostrun refuses to guess which half would run."},
	PythonSOABI: {Title: "the extension suffixes differ", ExitStatus: StatusMisfit, Story: "" +
		"Python looks for native modules by suffix (EXTENSION_SUFFIXES). The host's modules carry one that the image's interpreter never tries, so each import of them ends in ModuleNotFoundError.\n\n" +
		"Use an interpreter with the same SOABI on both sides."},
	PythonFlagIgnores: {Title: "the command keeps the host's packages out", ExitStatus: StatusMisfit, Story: "" +
		"python -S does not run site, so no .pth file is read, and the host's packages arrive through one in the image's site directory. It is a misfit where the command imports such a package and nothing catches the failure; a script that needs none of them, or runs site by itself, starts. With -I and -E site runs, and they do no harm.\n\n" +
		"Drop the flag."},
	LibcFloor: {Title: "the image's C library is older than the host's packages need", ExitStatus: StatusMisfit, Story: "" +
		"Native modules name the oldest glibc and libstdc++ they can live with. In an older image the loader stops with \"version `GLIBC_2.38' not found\". Wheels from PyPI are built for old ones; a distribution's own packages only fit the same release.\n\n" +
		"Use a newer base image, or install the packages from wheels."},
	PythonPatch: {Title: "the patch levels differ", ExitStatus: StatusMisfit, Story: "" +
		"Within one minor version CPython keeps its binary interface, so 3.11.2 and 3.11.9 share packages. It is shown because, twice in its history (3.9.3 and 3.9.8), it did not hold.\n\n" +
		"Nothing has to be done."},
	PythonInactive: {Title: "another environment is active than the one on the PATH", ExitStatus: StatusMisfit, Story: "" +
		"VIRTUAL_ENV or CONDA_PREFIX names one environment, and the first python3 on the PATH belongs to another: a second activation, sudo, or a shell start-up file that put its own directory in front. hostrun takes the PATH's, as typing python3 would.\n\n" +
		"Activate the environment again, or name it under python:."},
	SiteUnreadable: {Title: "a directory of host packages can't be read", ExitStatus: StatusMisfit, Story: "" +
		"A directory on the host interpreter's path can't be opened, so neither hostrun nor the container could read the packages in it.\n\n" +
		"Correct its permissions, or name another environment under python:."},
	SiteIncomplete: {Title: "files of an installed package are gone", ExitStatus: StatusMisfit, Story: "" +
		"The distribution's RECORD lists files that are not there: an interrupted pip, a full disk, or a directory removed by hand. The import would fail half-way.\n\n" +
		"Reinstall it: pip install --force-reinstall --no-deps NAME."},
	SitePathIgnored: {Title: "part of the host's packages lies outside of what is mounted", ExitStatus: StatusMisfit, Story: "" +
		"A .pth line, an editable install or a link in a site directory leads to a place that is not mounted into the container; Python skips it silently and the import fails later.\n\n" +
		"Mount that place at the same path under volumes:, or install the package into the environment."},
	PackageMissing: {Title: "a package that the profile names is not installed", ExitStatus: StatusMisfit, Story: "" +
		"python.packages names what the job needs, and no directory of the host's or the image's Python has it.\n\n" +
		"Install it into the host's environment, or correct the name."},
	ShadowedPackage: {Title: "host and image both have a package", ExitStatus: StatusMisfit, Story: "" +
		"Only one of the two is imported: the image's, unless python.precedence is host. Where the versions differ, another package may have been installed for the other one.\n\n" +
		"Remove it from one side, or choose with python.precedence."},
	TargetNotOnPath: {Title: "the image's Python does not look into python.target", ExitStatus: StatusMisfit, Story: "" +
		"python.target mounts the host's packages over one directory of the container. The interpreter that the command runs looks into the site directories of its own prefix only, and this is none of them: the packages are there, and import ends in ModuleNotFoundError.\n\n" +
		"Leave python.target out, set it to a site directory of that interpreter, or name the interpreter that owns the directory in command:."},
	ImagePlatform: {Title: "the image is for another platform", ExitStatus: StatusMisfit, Story: "" +
		"Its programs can't run on this machine's processor: \"exec format error\".\n\n" +
		"Pull the right one: hostrun pull --platform linux/<arch> IMAGE."},
	ImageUser: {Title: "the image does not know the user", ExitStatus: StatusMisfit, Story: "" +
		"user: or the image's own USER names a user or group that its /etc/passwd or /etc/group does not have.\n\n" +
		"Use a number (user: \"1000:1000\"), or add the user to the image."},
	ImageHasPackages: {Title: "a mount covers packages of the image", ExitStatus: StatusMisfit, Story: "" +
		"python.target mounts the host's packages over a directory of the image that has packages of its own. They can't be imported any more.\n\n" +
		"Leave python.target out: the host's packages are then added after the image's own."},
	ImageCommand: {Title: "nothing to run", ExitStatus: StatusProfile, Story: "" +
		"Neither the profile (command:, entrypoint:) nor the image says what to start.\n\n" +
		"Set command: in the profile, or give one after --: hostrun run NAME -- python3 script.py."},
	PathMissing: {Title: "a host path is missing", ExitStatus: StatusNoPath, Story: "" +
		"The source of a mount does not exist. Docker would make an empty directory owned by root there, and the job would run without its data.\n\n" +
		"Correct the path, or ask for the directory: bind: {create_host_path: true} in the long form."},
	PathWrongType: {Title: "a host path is of the wrong kind", ExitStatus: StatusNoPath, Story: "" +
		"A directory can only be mounted on a directory, and a file on a file.\n\nCorrect the source or the target of the mount."},
	PathNotTraversed: {Title: "the container's user can't reach a mount", ExitStatus: StatusMisfit, Story: "" +
		"A directory above the mount's target is closed to the container's user (in most images /root is 0700). Python does not report that as a permission problem: it says ModuleNotFoundError.\n\n" +
		"Mount it elsewhere, for example below /opt, or run as the owner of that directory."},
	MountConflict: {Title: "two mounts have one target", ExitStatus: StatusProfile, Story: "" +
		"The later mount would hide the earlier one.\n\nRemove one of the two, or change its target."},
	CUDAMissing: {Title: "no CUDA toolkit on the host", ExitStatus: StatusNoPath, Story: "" +
		"The profile asks for the host's CUDA toolkit and it is not where the profile says.\n\n" +
		"Install it, correct cuda:, or set cuda: none if the packages bring their own CUDA libraries (wheels from PyPI do)."},
	CUDABroken: {Title: "the CUDA toolkit is incomplete", ExitStatus: StatusNoPath, Story: "" +
		"The toolkit's links lead nowhere, or it has neither version.json nor version.txt: an upgrade that was interrupted, or a link left by a removed version.\n\n" +
		"Reinstall the toolkit, or name another one: cuda: /usr/local/cuda-12.4."},
	CUDARuntime: {Title: "the CUDA toolkit has no compiler", ExitStatus: StatusMisfit, Story: "" +
		"Libraries are there, nvcc and the headers are not: code that builds CUDA extensions at run time will fail.\n\nInstall the toolkit's development packages if you need that."},
	DeviceMissing: {Title: "a device is absent", ExitStatus: StatusNoDevice, Story: "" +
		"The profile names a device node that does not exist. The driver is not loaded, or the device is gone.\n\n" +
		"Load the driver, or correct devices:."},
	DeviceNotNode: {Title: "no device node", ExitStatus: StatusNoDevice, Story: "" +
		"The path is neither a character nor a block device, nor a directory of such.\n\nUse volumes: for files and directories."},
	LimitUnsupported: {Title: "a limit can't be held here", ExitStatus: StatusMisfit, Story: "" +
		"This kernel, its cgroup version, the OCI runtime or the rights of containerd's own process do not allow the limit.\n\nLower or remove it."},
	RuntimeTooOld: {Title: "the OCI runtime is too old for recursive read-only mounts", ExitStatus: StatusMisfit, Story: "" +
		"A read-only bind mount keeps the file systems mounted below it writable unless the runtime sets the flag recursively (rro; runc 1.1 and Linux 5.12). hostrun falls back to plain read-only, which is not enough where something is mounted below.\n\n" +
		"Upgrade runc."},
	RootNoPlace: {Title: "a mount has no place in the host's read-only root", ExitStatus: StatusMisfit, Story: "" +
		"With rootfs: host the container's /usr, /opt and parts of /etc are this machine's own, bound read-only. A mount needs a directory or file to stand on, and where the machine has none, the OCI runtime would have to make one in a read-only file system: \"mkdir ...: read-only file system\".\n\n" +
		"Choose a target outside of them, such as /data: there the root is the container's own. Or make the directory on the machine."},
	RootWholeHome: {Title: "the interpreter would bring a home directory along", ExitStatus: StatusMisfit, Story: "" +
		"With rootfs: host no home directory of this machine is in the container: keys, tokens and histories lie there. An interpreter outside of the system directories is bound with its environment's directory, and here that directory is a home directory, or holds some.\n\n" +
		"Make an environment in a directory of its own (python3 -m venv /opt/venv) and name it under python:."},
	RootOtherPython: {Title: "the command runs another Python than the one borrowed", ExitStatus: StatusMisfit, Story: "" +
		"With rootfs: host the container runs the host's interpreters, and python: names the one whose packages the job needs; its directory is first on the container's PATH. The command names another one, which looks into other directories: import may end in ModuleNotFoundError.\n\n" +
		"Run python3, or name the interpreter that the command runs under python:."},
	RuntimeUnusable: {Title: "the OCI runtime can't be used", ExitStatus: StatusMisfit, Story: "" +
		"containerd leaves the making of a container to an OCI runtime, a program that it finds on its own PATH. hostrun takes crun where that is installed, because it starts a container in half the time of runc, and runc else. crun is passed over where it would refuse: on a machine with cgroup v1 that has controllers on its second, unified hierarchy too (\"cgroups in hybrid mode not supported\"), and where it was built without seccomp or capabilities. runtime: in a profile decides otherwise, and then what is named must be there and work.\n\n" +
		"Install one (apt-get install crun, or runc), or correct runtime:, or remove it."},
	DeviceAbsent: {Title: "no accelerator of that kind", ExitStatus: StatusNoDevice, Story: "" +
		"The profile asks for GPUs or NPUs, and this machine has neither the hardware nor its driver, nor does a CDI file describe any. A job that was meant for an accelerator would run on the processor, a hundred times slower, and say nothing.\n\n" +
		"Run it elsewhere, install the driver, or let it run without: optional: true. hostrun devices lists what there is."},
	DeviceUnknown: {Title: "no such accelerator", ExitStatus: StatusNoDevice, Story: "" +
		"The profile names an accelerator that this machine does not have, or asks for more than there are. Indexes may change with a reboot or when a card is taken out; UUIDs and PCI addresses do not.\n\n" +
		"hostrun devices lists them with all their names."},
	DeviceLeased: {Title: "another container holds the accelerator", ExitStatus: StatusTryAgain, Story: "" +
		"A container of hostrun has an accelerator for itself as long as it runs: two jobs on one GPU run out of memory in turn, and an NPU refuses the second (drvErr=87). Its record says which it holds, so nothing has to be cleaned up after a crash.\n\n" +
		"End that container (hostrun ps shows who has what), wait for it in a queue (--wait-device, --wait-device=10m), or let both say share: true."},
	DeviceBusy: {Title: "something else uses the accelerator", ExitStatus: StatusTryAgain, Story: "" +
		"A process of this machine, or a container of another tool (docker, Kubernetes), has the device open or was given it. hostrun's own containers are told apart by their records.\n\n" +
		"End it, ask for another accelerator, or say share: true to use the device beside it."},
	DeviceUnfit: {Title: "the accelerator is not fit for it", ExitStatus: StatusNoDevice, Story: "" +
		"A device that does not work (it has fallen off the bus, its memory has failed) is never given: the job would die after its data is loaded. Or there is one, and it has less memory, is not linked to the others, or is not divided, as the profile asks.\n\n" +
		"hostrun devices says what each has and what is wrong with it."},
	DeviceGrouping: {Title: "accelerators that can't be asked for so", ExitStatus: StatusProfile, Story: "" +
		"The two dies of an Atlas A3 card belong together: the driver gives half of one to nobody else. A device can't be asked for twice, nor a partition beside the whole that it is a part of, and an address that two devices have names neither.\n\n" +
		"The message says what to ask for instead."},
	CDIInvalid: {Title: "a CDI file has errors", ExitStatus: StatusProfile, Story: "" +
		"Files in /etc/cdi and /var/run/cdi describe devices to container tools. This one is no such description: it does not parse, uses fields that its cdiVersion does not have, or names a device that another file names too. The other files are used as ever.\n\n" +
		"Correct it, or make it anew: nvidia-ctk cdi generate, or hostrun export cdi."},
	CDIHook: {Title: "hooks of a CDI file are not run", ExitStatus: StatusMisfit, Story: "" +
		"A CDI file can name programs to be run as root beside every start. hostrun runs none: what they do (links to libraries, the loader's cache) is the plan's, where it can be seen before the start.\n\n" +
		"With gpus: in place of the qualified name hostrun finds the driver's libraries by itself. Otherwise look whether the image needs what the hook would have done."},
	DeviceMount: {Title: "a mount lies over the driver's files", ExitStatus: StatusProfile, Story: "" +
		"The container gets files of the accelerator's driver at fixed places. A volume of the profile has its target at one of them, or inside of one, and would hide what the job needs: the driver's own library, in its own version.\n\n" +
		"Remove the volume: what it brought is given anyway. Or choose another target."},
	DeviceOptional: {Title: "an optional accelerator is not there", ExitStatus: StatusNoDevice, Story: "" +
		"The profile says optional: true, and the machine has no such accelerator: the container runs without. One that is there and busy is not passed over."},
	DeviceAffinity: {Title: "close processors are not known", ExitStatus: StatusNoDevice, Story: "" +
		"affinity: strict binds the job to the processors and the memory of the accelerator's NUMA node. The kernel does not tell which those are, as in many virtual machines.\n\n" +
		"Say affinity: prefer, or off."},
	CDIStale: {Title: "a CDI file is out of date", ExitStatus: StatusMisfit, Story: "" +
		"The file was written for this machine as it was: before the driver was updated, before a reboot gave the devices other numbers, before the GPUs were divided anew. docker, podman and Kubernetes believe it, and their containers get what is no longer there. hostrun reads numbers anew at each start.\n\n" +
		"Write it again: hostrun export cdi, or nvidia-ctk cdi generate."},
	ModuleMissing: {Title: "the command imports a module that is not found", ExitStatus: StatusMisfit, Story: "" +
		"hostrun reads the import statements of the command's own file and of everything that it imports, in the order in which Python would run them, and looks each name up as Python's finders do. This one is in no directory of sys.path, nothing catches its failure, and the command would end with the message that is shown.\n\n" +
		"Install the package that has it, into the host's environment or into the image. hostrun where NAME MODULE shows where a module comes from."},
	PthBlocks: {Title: "a .pth file is a named pipe", ExitStatus: StatusMisfit, Story: "" +
		"At its start Python opens each file of the site directories whose name ends in .pth. Opening a named pipe waits until somebody writes to it: the container would be up, and do and say nothing.\n\n" +
		"Remove the file, or let the program that made it keep it elsewhere."},
	PreloadBlocks: {Title: "/etc/ld.so.preload is a named pipe", ExitStatus: StatusMisfit, Story: "" +
		"glibc's loader opens /etc/ld.so.preload, if it is there, before each program. Opening a named pipe waits until somebody writes to it: the container would be up, and no program of it would ever begin.\n\n" +
		"Remove the file from the image, or from what is mounted there."},
	StandardMissing: {Title: "the image lacks a module of the standard library", ExitStatus: StatusMisfit, Story: "" +
		"Slim images cut the standard library: Debian's python3-minimal has no ctypes, json or multiprocessing; python3-tk, python3-dbm and python3-distutils are packages of their own. The host's packages were installed for a whole one.\n\n" +
		"Install the rest into the image (apt-get install python3), or use an image that is made for Python."},
	ModuleShadowed: {Title: "a module hides another one of its name", ExitStatus: StatusMisfit, Story: "" +
		"Python takes the first directory of sys.path that has the name, and the directory of the script is the first of all. A file random.py or torch.py beside it is imported instead of the real one, by everything, and errors show up far from it.\n\n" +
		"Rename the file, or start Python with -P. Between image and host, python.precedence decides."},
	EditableOutside: {Title: "the source of an editable install is not in the container", ExitStatus: StatusMisfit, Story: "" +
		"pip install -e and .pth files leave packages where they are developed, and note the path. In the container that path is not there: Python skips it without a word, and the import fails.\n\n" +
		"Mount the source at the same path under volumes:, or install the package into the environment."},
	LinkOutside: {Title: "a module is a link that leads nowhere", ExitStatus: StatusMisfit, Story: "" +
		"A file or directory of the environment is a symbolic link to a place that the container does not have: a package cache (uv with link-mode symlink), another disk, an alternative of the distribution.\n\n" +
		"Mount the target at the same path under volumes:, or install the package with copies (uv: --link-mode copy)."},
	Autoloaded: {Title: "a package loads an entry point by itself", ExitStatus: StatusMisfit, Story: "" +
		"Since 2.5 import torch loads every entry point of the group torch.backends. One that can't be loaded stops it with \"Failed to load the backend extension\".\n\n" +
		"If it is not wanted in this container, set TORCH_DEVICE_BACKEND_AUTOLOAD=0 under environment:."},
	DuplicateDist: {Title: "a distribution is there twice", ExitStatus: StatusMisfit, Story: "" +
		"Two directories of metadata of one name in one site directory are what a failed upgrade leaves. Versions that are asked for at run time (importlib.metadata) are then those of either.\n\n" +
		"Uninstall until none is left, and install it again."},
	TorchCPUOnly: {Title: "torch is built without CUDA", ExitStatus: StatusMisfit, Story: "" +
		"The profile asks for a GPU, and torch/version.py says cuda = None: this build computes on the processor alone, whatever devices and drivers the container gets.\n\n" +
		"Install a build with CUDA. The plain wheels on PyPI have it on x86-64 Linux; an index for cpu has not."},
	ImportsUnchecked: {Title: "imports that files do not tell", ExitStatus: StatusMisfit, Story: "" +
		"importlib.import_module with a computed name, exec, entry points, import hooks, and native code import what no file says. hostrun lists them and claims nothing about them.\n\n" +
		"hostrun facts records the first of them, each with its file and line."},
	NativeMissing: {Title: "a native module needs a library that is not there", ExitStatus: StatusMisfit, Story: "" +
		"The command imports a native module (numpy/core/_multiarray_umath...so) that names a library (DT_NEEDED) which the container's loader finds nowhere: not by the module's own search path (RPATH, RUNPATH), not in LD_LIBRARY_PATH, ld.so.cache or the default directories. Python would end with \"ImportError: libfoo.so.1: cannot open shared object file: No such file or directory\". Packages of a distribution lean on the distribution's libraries; wheels of PyPI bring theirs along.\n\n" +
		"Install the library in the image, or the package as a wheel."},
	NativeSuffix: {Title: "a native module was built for another Python", ExitStatus: StatusMisfit, Story: "" +
		"Python looks for native modules by file name: _foo.cpython-311-x86_64-linux-gnu.so, _foo.abi3.so, _foo.so. A file that carries another Python's tag is not seen at all, and the import ends with \"No module named\".\n\n" +
		"Install the package for the container's Python."},
	NativeVersion: {Title: "a library of the image is too old", ExitStatus: StatusMisfit, Story: "" +
		"A native module, or a library that it brings along, asks a library for a symbol version that it does not have: \"ImportError: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by ...)\". It was built on a newer system than the image's.\n\n" +
		"Use a newer image, or a wheel for older systems: its manylinux tag names the least glibc."},
	NativeUndefined: {Title: "a native module refers to what nothing defines", ExitStatus: StatusMisfit, Story: "" +
		"\"ImportError: ...: undefined symbol: ...\": the module was built against another version of a library, of torch or of Python than the one it meets. Python binds all symbols when it loads a module (RTLD_NOW).\n\n" +
		"Install versions that belong together."},
	NativeArch: {Title: "a native module was built for another machine", ExitStatus: StatusMisfit, Story: "" +
		"A file for another processor or word size. The loader passes over such libraries without a word and says that it found none.\n\n" +
		"Install the package for this machine."},
	NativeCorrupt: {Title: "a native module is damaged", ExitStatus: StatusMisfit, Story: "" +
		"A file that is empty, cut off, or no ELF file at all: an installation that was interrupted, a full disk, a text file in place of a large one (Git LFS). The loader says \"invalid ELF header\" or \"file too short\"; on some it dies with SIGBUS, and no Python code can catch that.\n\n" +
		"Install the package again."},
	NativeGate: {Title: "the loader refuses a whole file", ExitStatus: StatusMisfit, Story: "" +
		"The file is sound and still not loaded: it asks for an executable stack (refused since glibc 2.41), for more static TLS than is left, for a newer processor, or it is a program.\n\n" +
		"Install another build of the package; for an executable stack: patchelf --clear-execstack FILE."},
	NativeInterpreter: {Title: "the container's Python does not start", ExitStatus: StatusMisfit, Story: "" +
		"The interpreter itself needs a library that the container lacks, or a newer one: a mount hides it, or the image was put together of parts.\n\n" +
		"Try it: hostrun run NAME --python none -- python3 -c pass."},
	NativeOthers: {Title: "native modules that are not seen to be imported would not load", ExitStatus: StatusMisfit, Story: "" +
		"Below the borrowed site directories lie native modules that the container's loader would refuse. The command is not seen to import them, so nothing is stopped; a program may still import one by a computed name.\n\n" +
		"hostrun check --modules NAME lists each with the loader's message; --strict makes an error of it."},
	NativeConditional: {Title: "a native module depends on what was loaded before", ExitStatus: StatusMisfit, Story: "" +
		"The module needs a library that lies in another package, where the loader does not look. It loads if that package, or the program, has loaded the library before: glibc takes what is loaded already, by its name. torch does this for the CUDA libraries of the nvidia wheels.\n\n" +
		"Nothing, as a rule. Where the import fails, import the package with the library first."},
	LibrariesLent: {Title: "the host lends libraries that the image lacks", ExitStatus: StatusMisfit, Story: "" +
		"Packages of a distribution (apt-get install python3-torch) lean on the distribution's libraries, which a slim image does not have. hostrun finds what the command needs and the image lacks, and lends the host's: it binds the directories read-only below /opt/hostrun/lib, where no search path leads, and an /etc/ld.so.cache over the image's that has their names besides the image's own. The image's own libraries always go first. Nothing of glibc is ever lent, and no library that asks for a newer glibc than the image has; a libstdc++ that is too old gives way to the host's only where that one has everything that the image's has.\n\n" +
		"hostrun check --verbose lists each library with its size. While the container runs, ldconfig in it can't replace the file (\"Device or resource busy\"). python.borrow_libraries: off lends none; packages of PyPI bring their libraries along."},
	PlaceNotLent: {Title: "a place outside of the packages is not shown", ExitStatus: StatusMisfit, Story: "" +
		"Links of packages lead out of the site directory (alternatives of the distribution, a package cache), and editable installs name the directory of their source. hostrun binds such places read-only where the packages look for them, if the container has nothing there. It does not bind whole home directories, system trees, /etc, or what holds keys and tokens, and it hides nothing of the image.\n\n" +
		"If the package is needed, add the place under volumes:, or install it with copies (pip install without -e, uv --link-mode copy)."},
	BytecodeApart: {Title: "the container compiles the host's modules for itself", ExitStatus: StatusMisfit, Story: "" +
		"The host's packages are read-only for the container. Where they have no .pyc files that the container's Python takes (none were written, or the sources are newer), each start would compile everything again: import torch takes seconds longer. hostrun then sets PYTHONPYCACHEPREFIX to a directory of the profile's own, /var/lib/hostrun/pycache/NAME-..., that is filled once and may be deleted at any time. With the prefix Python looks into no __pycache__ directory, so it is set only where most are of no use.\n\n" +
		"python3 -m compileall on the host makes it unnecessary. PYTHONDONTWRITEBYTECODE or PYTHONPYCACHEPREFIX under environment: decide otherwise."},
	StdlibLent: {Title: "the host's standard library completes the image's", ExitStatus: StatusMisfit, Story: "" +
		"The image has a part of the standard library (Debian's python3-minimal), and the host the whole of the same release. With python.interpreter_from: host the host's directory is bound read-only over the image's; the image's interpreter runs.\n\n" +
		"It is proved as everything else: native modules of it need libraries too, which the host lends where they fit."},
	InterpreterLent: {Title: "the host's interpreter runs", ExitStatus: StatusMisfit, Story: "" +
		"python.interpreter_from: host binds the host's environment and the interpreter's own tree read-only at the paths that they have on the host, and puts its directory first on PATH. The image needs no Python then. Interpreters of uv and conda ask for an old glibc only and run nearly everywhere; one that was compiled on the host asks for the host's.\n\n" +
		"Whether it starts with the image's C library is proved before (HR107)."},
	InterpreterFixed: {Title: "the host's interpreter can't be moved into the container", ExitStatus: StatusMisfit, Story: "" +
		"python.interpreter_from: host was asked for. A distribution's interpreter lies in /usr among everything else of its system, and an environment in a home directory itself would bring the home along; neither can be bound into an image that has its own files there. Only where image and host have the very same release can the host's standard library complete the image's.\n\n" +
		"Use an image with the whole standard library, or an interpreter in a tree of its own: uv python install, conda, pyenv."},
	CacheCovered: {Title: "libraries can't be lent, as /etc is a volume", ExitStatus: StatusMisfit, Story: "" +
		"The host lends libraries by an /etc/ld.so.cache of the container's own. A volume of the profile covers the file or its directory, and nothing is put into volumes.\n\n" +
		"Mount single files below /etc instead of the whole, or set python.borrow_libraries: off."},
	PinBroken: {Title: "installed packages contradict each other", ExitStatus: StatusMisfit, Story: "" +
		"A framework's metadata requires another version of a package than the one that would be imported: torchvision for another torch, jax for another jaxlib. Their native code is built for exactly that version, so the import, or the first operation, fails: \"operator torchvision::nms does not exist\", \"undefined symbol\". It comes of installing one of them alone, or with --no-deps.\n\n" +
		"Install them with one command, so that pip chooses versions that belong together. pip check lists all contradictions of an environment."},
	NPUOtherTorch: {Title: "torch_npu is built for another torch", ExitStatus: StatusMisfit, Story: "" +
		"torch_npu is a plugin that is linked with one release of PyTorch; its version begins with that release's (2.5.1.post1 goes with torch 2.5.1). With another one its library has undefined symbols, or crashes later.\n\n" +
		"Install torch and torch_npu of one release. An image's torch hides the host's unless python.precedence is host."},
	TwoAccelerators: {Title: "torch_npu beside a torch for another accelerator", ExitStatus: StatusMisfit, Story: "" +
		"torch_npu refuses to load where torch already knows an accelerator: \"RuntimeError: Two accelerators cannot be used at the same time in PyTorch: npu and cuda\". Since torch 2.5 import torch loads torch_npu by itself, so a program that never asks for an NPU fails with it.\n\n" +
		"For an NPU install the CPU build of torch. For a GPU keep the plugin out: TORCH_DEVICE_BACKEND_AUTOLOAD=0."},
	TorchNoNPU: {Title: "an NPU is asked for, and torch_npu is not installed", ExitStatus: StatusMisfit, Story: "" +
		"PyTorch itself knows no device npu: tensor.to(\"npu\") ends with \"Expected one of cpu, cuda, ... device type at start of device string: npu\". The plugin torch_npu brings it.\n\n" +
		"Install torch_npu of torch's release, on the side that torch comes from."},
	LibraryOverridden: {Title: "LD_LIBRARY_PATH leads to another library than the packages' own", ExitStatus: StatusMisfit, Story: "" +
		"Wheels bring their libraries along and find them by their own search path. A DT_RUNPATH, as NVIDIA's wheels have it, counts after LD_LIBRARY_PATH, so a CUDA toolkit that the image or the profile puts there is taken in place of the wheel's: \"undefined symbol: __nvJitLinkComplete_12_4, version libnvJitLink.so.12\" when it is older, and a mix of versions that nobody has tested otherwise.\n\n" +
		"Take the directory out of LD_LIBRARY_PATH. The toolkit's programs do not need it, and what is linked with the toolkit finds it through ld.so.cache."},
	CUDAWheelAbsent: {Title: "libraries of CUDA are missing, and so are the wheels that bring them", ExitStatus: StatusMisfit, Story: "" +
		"Since torch 2.0 its wheels do not hold CUDA's libraries: they require NVIDIA's wheels (nvidia-cublas-cu12 ...). Installed with --no-deps, or after one of them was removed, import torch ends with \"libcudart.so.12: cannot open shared object file\".\n\n" +
		"Install torch with its dependencies, or those wheels by name in the versions that torch's metadata says."},
	CUDAMixed: {Title: "frameworks for several major versions of CUDA", ExitStatus: StatusMisfit, Story: "" +
		"The libraries of CUDA 12 and 13 have different names, so both can be installed and even loaded. A process that uses both pays twice: two runtimes, two contexts on each GPU, and no data shared without a copy. The driver must know the newer of them.\n\n" +
		"Install builds for one CUDA. Where different programs use them, nothing has to be done."},
	GPUNoDriver: {Title: "NVIDIA's driver is not loaded", ExitStatus: StatusNoDevice, Story: "" +
		"The PCI bus has GPUs of NVIDIA (sysfs shows what lspci would), and /proc/driver/nvidia does not exist: no driver is installed, it was not built for the running kernel, or another driver has the device: nouveau, or vfio-pci for a virtual machine.\n\n" +
		"Install the driver of the distribution or of NVIDIA's repository and load it: nvidia-smi has to work on the host. After a kernel update without a reboot, or with Secure Boot and an unsigned module, modprobe nvidia says why."},
	GPUNodeMissing: {Title: "a device node of NVIDIA's driver is missing", ExitStatus: StatusNoDevice, Story: "" +
		"The driver makes no device nodes by itself: nvidia-modprobe, udev or the first program that runs as root does. A container can't make its own: it has no right to.\n\n" +
		"Run nvidia-smi once as root, or nvidia-modprobe -c=N for /dev/nvidiaN. What options ask for (GPUDirect, IMEX) needs the drivers that make those nodes."},
	GPUUVM: {Title: "the module nvidia-uvm is not ready", ExitStatus: StatusNoDevice, Story: "" +
		"CUDA needs /dev/nvidia-uvm (unified memory). The module is loaded by the first CUDA program that runs as root, and its major number is given out anew each time. Without it, or with the node of an earlier boot, nvidia-smi works and cuInit fails with \"CUDA unknown error\" (999); torch.cuda.is_available() is False.\n\n" +
		"nvidia-modprobe -u -c=0 as root loads the module and makes the node. A start-up unit (nvidia-persistenced's does it on most systems) makes it last."},
	GPUMismatch: {Title: "the driver's kernel module and its libraries differ", ExitStatus: StatusMisfit, Story: "" +
		"The module and the libraries of NVIDIA's driver speak a private protocol that changes with each release. After an upgrade by the package manager the old module still runs: \"Failed to initialize NVML: Driver/library version mismatch\", and CUDA ends with error 803.\n\n" +
		"Reboot, or stop every program that uses a GPU and load the modules again."},
	GPULibraries: {Title: "the driver's libraries are not on the machine", ExitStatus: StatusNoDevice, Story: "" +
		"Containers get libcuda and the rest of the driver's user-space part from the host: it has to be of the very version of the kernel's module, so no image can bring it. Here the module is loaded and the libraries are not where any installer leaves them: the driver was installed without its compute part.\n\n" +
		"Install them in the module's version, or say where they lie."},
	GPUImageLibc: {Title: "NVIDIA's libraries can't load in the image", ExitStatus: StatusMisfit, Story: "" +
		"The driver's libraries are built for glibc. Under musl (Alpine) the loader ends with \"Error relocating /usr/lib/libcuda.so.1: ... symbol not found\"; in an image without any C library only a program that brings all of it can use them.\n\n" +
		"Use an image of Debian, Ubuntu, RHEL or another distribution with glibc."},
	CUDADriverOld: {Title: "the driver is too old for this CUDA", ExitStatus: StatusMisfit, Story: "" +
		"A driver serves every CUDA up to its own version, and newer minor versions of the same major one; a newer major version it does not. torch says \"The NVIDIA driver on your system is too old\", other programs \"CUDA driver version is insufficient for CUDA runtime version\" (35).\n\n" +
		"Update the driver, or install packages for an older CUDA. On data-center GPUs the package cuda-compat may stand in: its libcuda lists the driver branches that it works with, and hostrun uses it where it does."},
	CUDAMinor: {Title: "CUDA is newer than the driver by a minor version", ExitStatus: StatusMisfit, Story: "" +
		"Within one major version a program built for a newer CUDA runs on an older driver, as long as its kernels are machine code for the GPU. What is compiled at run time fails: \"the provided PTX was compiled with an unsupported toolchain\" (222).\n\n" +
		"Nothing has to be done unless something compiles at run time; else update the driver."},
	CUDANoKernel: {Title: "torch has no code for this GPU", ExitStatus: StatusMisfit, Story: "" +
		"A build of torch holds machine code for a list of architectures (torch.cuda.get_arch_list()). A GPU runs that of its own major version and of the same or an older minor one; code with the suffix a runs on that very architecture only. Where the list has PTX for an older one, the driver compiles it at first use. Else each kernel ends with \"CUDA error: no kernel image is available for execution on the device\".\n\n" +
		"Install a build that has the GPU's architecture: old GPUs are dropped, new ones need a recent release."},
	CUDARequire: {Title: "the image requires another driver", ExitStatus: StatusMisfit, Story: "" +
		"Images of NVIDIA state in NVIDIA_REQUIRE_CUDA what they need: alternatives with spaces between them, each of conditions with commas between them, on cuda, driver, arch and brand. None of the alternatives holds here.\n\n" +
		"Update the driver, use an image for an older CUDA, or set NVIDIA_DISABLE_REQUIRE=1 under environment: if you know better."},
	CUDAStub: {Title: "a stub of libcuda comes first", ExitStatus: StatusMisfit, Story: "" +
		"The CUDA toolkit has a directory lib64/stubs with a libcuda.so for linking on machines without a GPU. In a search path of the loader it is taken instead of the driver's, and every call answers CUDA_ERROR_STUB_LIBRARY (34): \"CUDA driver is a stub library\".\n\n" +
		"Take the directory out of LD_LIBRARY_PATH. Over stubs of the image itself hostrun binds the driver's library."},
	GPUFabric: {Title: "the NVLink fabric is not ready", ExitStatus: StatusNoDevice, Story: "" +
		"On machines with NVSwitches each GPU has to be registered with the fabric by nvidia-fabricmanager, in the very version of the driver. Until then nvidia-smi works, and CUDA ends with \"Error 802: system not yet initialized\".\n\n" +
		"Start nvidia-fabricmanager and wait until nvidia-smi -q shows Fabric State: Completed."},
	GPUPersistence: {Title: "persistence mode is off", ExitStatus: StatusMisfit, Story: "" +
		"Without persistence the driver shuts a GPU down when the last program that uses it ends, and initialises it for the next one, which takes seconds per GPU at each start.\n\n" +
		"systemctl enable --now nvidia-persistenced. hostrun itself opens no GPU when nothing has changed since it asked last."},
	GPUUnhealthy: {Title: "a GPU can't be used", ExitStatus: StatusNoDevice, Story: "" +
		"The driver or NVML says that a GPU is lost, hangs, needs a reset, has memory rows that can't be remapped, or is bound to another driver. It is not given to containers; the other GPUs are not concerned. NVML is asked by a child process, one GPU at a time and with a deadline, so that a dead GPU costs its own line only.\n\n" +
		"nvidia-smi -q and dmesg | grep -i -e NVRM -e Xid show more; nvidia-smi --gpu-reset or a reboot may bring it back."},
	GPUElsewhere: {Title: "this machine's GPU is described by a CDI file", ExitStatus: StatusNoDevice, Story: "" +
		"Under WSL 2 the GPU is Windows' own, reached through /dev/dxg; on a Jetson it is part of the processor, with its own list of files. Neither has the driver's directory in /proc that hostrun reads.\n\n" +
		"NVIDIA's tool describes both: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml. Then name the device as that file does."},
	GPUPartition: {Title: "a MIG device is needed, or is not whole", ExitStatus: StatusNoDevice, Story: "" +
		"A GPU in MIG mode computes through its MIG devices only, each made of a GPU instance and a compute instance, and each opened by two nodes below /dev/nvidia-caps.\n\n" +
		"Ask for a partition, make one (nvidia-smi mig -cgi PROFILE -C), or switch the mode off (nvidia-smi -mig 0)."},
	GPUOption: {Title: "no such capability or option of NVIDIA's", ExitStatus: StatusProfile, Story: "" +
		"Capabilities are the words of NVIDIA_DRIVER_CAPABILITIES: compute, utility, video, graphics, display, ngx, compat32, all. Options are gds, rdma, gdrcopy, imex, mps, compat and cuda.\n\n" +
		"Correct the word in the profile, or the variable of the image."},
	GPUUnasked: {Title: "NVML was not asked", ExitStatus: StatusMisfit, Story: "" +
		"Memory sizes, compute capabilities, NVLinks and health are known to NVIDIA's management library alone. hostrun loads it in a program of its own, hostrun-nvml, which needs cgo and is built where gcc is. Without it, or where the library does not work, hostrun goes by the kernel's files: GPUs can be given by number, address or UUID.\n\n" +
		"Install hostrun-nvml beside hostrun; where it is, nvidia-smi has to work."},
	CUDACompat: {Title: "forward compatibility", ExitStatus: StatusMisfit, Story: "" +
		"The package cuda-compat holds a newer libcuda that works with older drivers on data-center GPUs. A note in its file lists the driver branches; hostrun reads it and uses the package where it serves and something newer than the driver's CUDA runs.\n\n" +
		"Nothing has to be done. The option compat: off keeps the machine's package out."},
	GPUParts: {Title: "a process uses one MIG device", ExitStatus: StatusMisfit, Story: "" +
		"CUDA gives a process one compute instance, the first that it may open, whatever else is there: with several MIG devices torch.cuda.device_count() is 1, and beside a MIG device whole GPUs are not counted at all. What a job waits for on the others never comes.\n\n" +
		"Ask for one bigger MIG device, or for whole GPUs; or start one process for each and give it its own by CUDA_VISIBLE_DEVICES=MIG-UUID (nvidia-smi -L shows them in the container)."},
}
