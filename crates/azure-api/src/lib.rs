//! azure-api
