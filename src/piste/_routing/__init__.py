"""Roles, matrix views and routing: which parameter goes to which chain, and why."""

from piste._routing.matrices import MatrixView as MatrixView
from piste._routing.matrices import default_view as default_view
from piste._routing.matrices import matrix_view as matrix_view
from piste._routing.roles import MATRIX_ROLES as MATRIX_ROLES
from piste._routing.roles import ROLES as ROLES
from piste._routing.roles import Role as Role
from piste._routing.roles import roles as roles
from piste._routing.route import Assignment as Assignment
from piste._routing.route import RoutingWarning as RoutingWarning
from piste._routing.route import refuse_flattened as refuse_flattened
from piste._routing.route import route as route
from piste._routing.route import route_bare as route_bare
from piste._routing.table import explain_rows as explain_rows
from piste._routing.table import render as render
