// How many cores the launches of one thread of the host use, where several give work at the same time.
#pragma once

namespace cuda_on_cpu {

// Of the calling thread; 0: as many as others, Execution::threads.
int& core_share();

}  // namespace cuda_on_cpu
