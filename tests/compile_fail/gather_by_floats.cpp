// expect: gather_rows: rows are integers
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"

#ifdef FLOWFAR_FIXED
using Row = flowfar::Index;
#else
using Row = float;
#endif

auto pick(const flowfar::Tensor<flowfar::Reference, flowfar::Shape<16, 8>>& table,
          const flowfar::Tensor<flowfar::Reference, flowfar::Shape<flowfar::dyn>, Row>& rows) {
    return gather_rows(table, rows);
}
