"""The rate budget: one schedule of moments per scope, shared by all processes. The only importer of redis."""

from connector.budget.local import LocalBudget
from connector.budget.pace import BudgetOptions
from connector.budget.redis import RedisBudget

__all__ = ["BudgetOptions", "LocalBudget", "RedisBudget"]
