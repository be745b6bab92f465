/* A libcuda that knows the version of its driver. */
int hostrunVersion(void) { return VERSION; }
