/* A libnvidia-ml.so for tests: three GPUs at 0000:01:00.0 to 0000:03:00.0. What goes wrong is chosen by macros. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { int n; } device;
static device all[3] = {{0}, {1}, {2}};

enum { SUCCESS = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, GPU_IS_LOST = 15, RM_MISMATCH = 18 };

static int put(char *to, unsigned room, const char *text) {
	strncpy(to, text, room);
	return SUCCESS;
}

int nvmlInit_v2(void) {
#ifdef HANG_INIT
	for (;;) pause();
#endif
#ifdef MISMATCH
	return RM_MISMATCH;
#endif
	return SUCCESS;
}
int nvmlShutdown(void) { for (;;) pause(); } /* nobody waits for it */
const char *nvmlErrorString(int r) { return "fake"; }
int nvmlSystemGetDriverVersion(char *v, unsigned n) { return put(v, n, "550.54.15"); }
int nvmlSystemGetNVMLVersion(char *v, unsigned n) { return put(v, n, "12.550.54.15"); }
int nvmlSystemGetCudaDriverVersion(int *v) { *v = 12040; return SUCCESS; }

int nvmlDeviceGetHandleByPciBusId_v2(const char *id, device **d) {
	for (int i = 0; i < 3; i++) {
		char want[] = "0000:01:00.0";
		want[6] += i;
		if (strcmp(id, want)) continue;
#ifdef HANG
		if (i == HANG) for (;;) pause();
#endif
#ifdef LOST
		if (i == LOST) return GPU_IS_LOST;
#endif
#ifdef CRASH
		if (i == CRASH) abort();
#endif
		*d = &all[i];
		return SUCCESS;
	}
	return NOT_FOUND;
}
int nvmlDeviceGetUUID(device *d, char *v, unsigned n) {
	char id[] = "GPU-0";
	id[4] += d->n;
	return put(v, n, id);
}
int nvmlDeviceGetIndex(device *d, unsigned *v) { *v = d->n; return SUCCESS; }
int nvmlDeviceGetMinorNumber(device *d, unsigned *v) { *v = d->n; return SUCCESS; }
int nvmlDeviceGetName(device *d, char *v, unsigned n) { return put(v, n, "NVIDIA Fake"); }
int nvmlDeviceGetBrand(device *d, int *v) { *v = 14; return SUCCESS; }
int nvmlDeviceGetMemoryInfo(device *d, unsigned long long *v) { v[0] = 80ULL << 30; v[1] = 79ULL << 30; v[2] = 1ULL << 30; return SUCCESS; }
int nvmlDeviceGetPersistenceMode(device *d, int *v) { *v = 1; return SUCCESS; }
int nvmlDeviceGetUtilizationRates(device *d, unsigned *v) { v[0] = v[1] = 0; return SUCCESS; }
int nvmlDeviceGetPowerUsage(device *d, unsigned *v) { return NOT_SUPPORTED; }
int nvmlDeviceGetEnforcedPowerLimit(device *d, unsigned *v) { return NOT_SUPPORTED; }
int nvmlDeviceGetComputeMode(device *d, int *v) { *v = 0; return SUCCESS; }
int nvmlDeviceGetEccMode(device *d, int *now, int *next) { return NOT_SUPPORTED; }
int nvmlDeviceGetTotalEccErrors(device *d, int kind, int counter, unsigned long long *v) { return NOT_SUPPORTED; }
#ifndef OLD
int nvmlDeviceGetCudaComputeCapability(device *d, int *major, int *minor) { *major = 9; *minor = 0; return SUCCESS; }
int nvmlDeviceGetMigMode(device *d, unsigned *now, unsigned *next) { *now = *next = 0; return SUCCESS; }
#endif
