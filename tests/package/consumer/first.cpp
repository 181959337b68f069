// With second.cpp: two units of one program, which link without duplicates and share the library's entities.
#include "first.hpp"

const void* address_in_second_unit();
void fail_in_second_unit();

int main() {
    if (static_cast<const void*>(&flowfar::version_string) != address_in_second_unit()) {
        return 1;
    }
    try {
        fail_in_second_unit();
    } catch (const flowfar::Error&) {
        return 0;
    }
    return 2;
}
