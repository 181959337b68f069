// expect: flowfar needs C++20: compile with -std=c++20
// options: -std=c++17
#include "flowfar/backend/reference.hpp"
#include "flowfar/tensor.hpp"

int main() {}
